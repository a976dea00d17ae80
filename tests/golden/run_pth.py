"""Loads networks of ours in PyTorch as a user would, and computes their logits.

Standard input: a JSON list of {"file", "config", "bias", "image", "shape", "logits"}; the image and
the logits are files of little-endian float32. With --probe nothing happens but importing."""
import collections
import json
import sys

import numpy as np
import torch
import torch.nn as nn

from make import UNet


def run(job):
    state = torch.load(job["file"], weights_only=True)
    assert type(state) is collections.OrderedDict, type(state)
    assert all(torch.is_tensor(value) for value in state.values())
    config = job["config"]
    net = UNet(config["model"], config["upsample"], config["width"], config["channels"],
               config["classes"])
    if not job["bias"]:
        for module in net.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.bias = None
    assert list(state) == list(net.state_dict()), "names or their order"
    net.load_state_dict(state, strict=True)
    for name, tensor in state.items():
        assert tensor.dtype == net.state_dict()[name].dtype, name
    image = torch.from_numpy(np.fromfile(job["image"], "<f4").reshape(job["shape"]))
    with torch.no_grad():
        net.eval()(image).numpy().astype("<f4").tofile(job["logits"])
    # What was read can be saved and read again.
    torch.save(state, job["file"] + ".again")
    assert list(torch.load(job["file"] + ".again")) == list(state)


if "--probe" not in sys.argv:
    for each in json.load(sys.stdin):
        run(each)
