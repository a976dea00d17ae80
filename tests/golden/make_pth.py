#!/usr/bin/env python3
"""Makes pth/ with PyTorch: python3 make_pth.py DATA [folder], where DATA is what UNET_TEST_DATA
names. Networks as people save them, and what PyTorch computes with them. See README.md."""
import json
import os
import sys

import numpy as np
import torch
import torch.nn as nn
from PIL import Image

from make import Stream, UNet, initialise

HEIGHT, WIDTH_PX, SEED_INPUT = 33, 47, 99
PHOTO = "nuclei/data/raw/train/images/0402a81e75262469.png"
# Left, top, right, bottom; odd on both axes.
CROP = (20, 31, 151, 128)

# Model, upsampling, width, classes, element type, biases in front of batch norm.
NETWORKS = {
    "zip": ("unet-small", "bilinear", 8, 5, torch.float32, True),
    "legacy": ("unet-small", "transposed", 4, 3, torch.float32, True),
    "half": ("unet", "bilinear", 4, 4, torch.float16, False),
    "bfloat16": ("unet", "transposed", 2, 2, torch.bfloat16, True),
    "views": ("unet-small", "bilinear", 4, 3, torch.float64, True),
    "one_class": ("unet-small", "bilinear", 4, 1, torch.float32, False),
}


def build(model, upsample, width, classes, dtype, bias, photo):
    """A network whose classes all occur in the photo, though nothing has trained it."""
    net = UNet(model, upsample, width, 3, classes)
    initialise(net)
    stream = Stream(7)
    draw = lambda like, low, high: torch.from_numpy(
        (low + (high - low) * stream.draw(like.numel())).astype(np.float32)).view_as(like)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            with torch.no_grad():
                module.weight.copy_(draw(module.weight, 0.5, 1.5))
                module.bias.copy_(draw(module.bias, -0.5, 0.5))
        if not bias and isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.bias = None
    with torch.no_grad():
        net.train()(photo)
        net.eval()
        logits = net(photo).transpose(0, 1).flatten(1)
        net.outc.conv.bias.sub_(logits.median(1).values)
    return net.to(dtype)


def views(state):
    """All parameters in one storage, some of them not in row-major order."""
    flat = torch.zeros(sum(t.numel() for t in state.values() if t.is_floating_point()) + 3,
                       dtype=torch.float64)
    made, at = {}, 3
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            made[name] = tensor
            continue
        place = flat[at:at + tensor.numel()]
        at += tensor.numel()
        if tensor.dim() == 4:
            n, c, h, w = tensor.shape
            place = place.view(n, h, w, c).permute(0, 3, 1, 2)
        made[name] = place.view(tensor.shape) if tensor.dim() != 4 else place
        made[name].copy_(tensor)
    return made


def save(folder, name, net):
    path = os.path.join(folder, f"{name}.pth")
    state = net.state_dict()
    if name == "zip":
        torch.save(state, path)
    elif name == "legacy":
        optimiser = torch.optim.RMSprop(net.parameters(), lr=0.01, momentum=0.9)
        net.train()(torch.zeros(1, 3, 8, 8)).sum().backward()
        optimiser.step()
        parallel = nn.DataParallel(net).state_dict()
        torch.save({"epoch": 3, "best": np.float64(0.5), "state_dict": parallel,
                    "optimizer": optimiser.state_dict()}, path,
                   _use_new_zipfile_serialization=False)
    elif name == "half":
        state["mask_values"] = [0, 7, 200, 255]
        torch.save(state, path, pickle_protocol=4)
    elif name == "bfloat16":
        torch.save({"model_state_dict": state, "mask_values": [[0, 0, 0], [200, 30, 40]]}, path)
    elif name == "views":
        torch.save(views(state), path)
    elif name == "one_class":
        state["mask_values"] = [0, 255]
        torch.save(state, path)
    return os.path.getsize(path)


def ids(logits):
    found = logits.argmax(1) if logits.shape[1] > 1 else logits[:, 0] > 0
    return found.to(torch.uint8).numpy()[0]


def write(path, tensors, metadata):
    header, position = {"__metadata__": metadata}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "U8" if array.dtype == np.uint8 else "F32",
                        "shape": list(array.shape),
                        "data_offsets": [position, position + array.nbytes]}
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(array.tobytes())


def tensor_of(image):
    array = np.asarray(image.convert("RGB")).astype(np.float64) / 255
    return torch.from_numpy(array.transpose(2, 0, 1)[None].copy())


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, "pth")
    photo = Image.open(os.path.join(sys.argv[1], PHOTO))
    crop = photo.crop(CROP)
    noise = Stream(SEED_INPUT).draw(3 * HEIGHT * WIDTH_PX).astype(np.float32)
    image = torch.from_numpy(noise.reshape(1, 3, HEIGHT, WIDTH_PX)).double()
    found = {}
    for name, network in NETWORKS.items():
        net = build(*network, tensor_of(crop).float())
        size = save(folder, name, net)
        net = net.double().eval()
        with torch.no_grad():
            found[f"{name}.logits"] = net(image).float().numpy()
            found[f"{name}.crop"] = ids(net(tensor_of(crop)))
            if name == "zip":
                found[f"{name}.photo"] = ids(net(tensor_of(photo)))
        shares = np.bincount(found[f"{name}.crop"].ravel()) / found[f"{name}.crop"].size
        print(name, size, "bytes; shares of the classes", np.round(shares, 3))
    ordered = dict(sorted(found.items(), key=lambda item: item[1].dtype == np.uint8))
    write(os.path.join(folder, "expected.safetensors"), ordered,
          {"torch": torch.__version__, "photo": PHOTO, "crop": json.dumps(CROP)})


if __name__ == "__main__":
    main()
