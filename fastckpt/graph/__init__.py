"""Protocol buffers beside the tensors: the object graph of TF2 and the `.meta` of TF1."""
