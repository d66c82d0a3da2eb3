"""From a trained model and images to segmentations, streamed so that memory does not grow with classes times volume."""
