"""What a change of an output is worth in changes of the image: one file a framework, `select` above them."""
