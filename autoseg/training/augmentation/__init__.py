"""How training patches are varied: what is drawn first, and how it is applied, by a worker or by the device that trains."""
