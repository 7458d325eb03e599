"""The formats of model servers: the bytes of a request and its answer to rows of features and predictions; one file each."""
