"""How the small text network of `filters/text_net.onnx` is made: pictures and labels, training, export.

    python -m scripts.text_net.pictures POOL [--web labelled/ --tars 00000 00001 00002 00003]
    python -m scripts.text_net.train POOL -o filters/text_net.onnx

The first command needs `.[dev]`, the second PyTorch besides. Whoever has no labelled tars leaves `--web` out.

`fit` then makes the weights that turn maps, boxes and lines into chances, `unseen` what bounds are calibrated on:
docs/concepts/text-network.md has all of it in order.
"""
