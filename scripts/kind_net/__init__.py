"""Makes the network of kinds, filters/text_kind.onnx. Needs `.[dev,fit-networks]`.

    python -m scripts.kind_net.pictures pool.pickle --labelled labelled/  # ten minutes on two cores
    python -m scripts.kind_net.train pool.pickle -o filters/text_kind.onnx      # a quarter of an hour
    python -m scripts.kind_net.train pool.pickle -o 0.onnx --without-fold 0     # and 1: to fit weights to

docs/concepts/text-network.md says what it learned from.
"""
