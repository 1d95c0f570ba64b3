"""Timing of networks on this machine: one documented protocol for all backends.

1. Threads are fixed: PyTorch's and ONNX Runtime's intra-operator threads, one inter-operator thread.
2. Each network is warmed up until the medians of its last blocks agree.
3. Networks are measured in turns, in short blocks whose order is drawn anew each round, so that a slow moment of the
   machine hits all of them; the first runs of a block are not counted.
4. A fixed reference kernel is timed before and after. If it drifts by more than 5 %, all is measured again; if it
   drifts again, the report says so.
5. Reported are the median, the 95th percentile and the interquartile range of single runs.
"""
