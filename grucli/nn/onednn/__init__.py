"""Matrix products of oneDNN, in float32 or bfloat16, with the interface of ``nn/matmul``."""
