"""Files and folders: reading and writing them safely, one process at a time, and what each is called."""
