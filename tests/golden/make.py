#!/usr/bin/env python3
"""Makes the golden files of this folder with PyTorch: python3 make.py [folder]. See README.md."""
import hashlib
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH, CHANNELS, CLASSES = 8, 3, 5
BATCH, HEIGHT, WIDTH_PX = 2, 33, 47
IGNORE = 255
SEED_WEIGHTS, SEED_INPUT = 1234, 99
STEPS, LR, MOMENTUM, DECAY = 10, 1e-4, 0.9, 1e-8
# Gradients of more elements are stored as every STRIDE-th element; a prime that divides no
# kernel size, so that all taps are met.
WHOLE, STRIDE = 20_000, 11


class Stream:
    """mulberry32 in counter form; uniform doubles in [0, 1)."""

    def __init__(self, seed):
        self.seed, self.count = seed, 0

    def draw(self, n):
        k = np.arange(self.count + 1, self.count + n + 1, dtype=np.uint64)
        self.count += n
        mask = np.uint64(0xFFFFFFFF)
        a = (np.uint64(self.seed) + k * np.uint64(0x6D2B79F5)) & mask
        t = ((a ^ (a >> np.uint64(15))) * (a | np.uint64(1))) & mask
        u = ((t ^ (t >> np.uint64(7))) * (t | np.uint64(61))) & mask
        t = (t ^ ((t + u) & mask)) & mask
        return ((t ^ (t >> np.uint64(14))) & mask).astype(np.float64) / 4294967296.0


class DoubleConv(nn.Module):
    def __init__(self, cin, mid, cout):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(cin, mid, 3, padding=1), nn.BatchNorm2d(mid), nn.ReLU(),
            nn.Conv2d(mid, cout, 3, padding=1), nn.BatchNorm2d(cout), nn.ReLU())

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(cin, cout, cout))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, cin, cout, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        else:
            self.up = nn.ConvTranspose2d(cin, cin // 2, 2, stride=2)
        self.conv = DoubleConv(cin, cin // 2, cout)

    def forward(self, below, skip):
        below = self.up(below)
        dy = skip.shape[2] - below.shape[2]
        dx = skip.shape[3] - below.shape[3]
        below = F.pad(below, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([skip, below], 1))


class OutConv(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 1)

    def forward(self, x):
        return self.conv(x)


class UNet(nn.Module):
    def __init__(self, model, upsample, width, channels, classes):
        super().__init__()
        bilinear = upsample == "bilinear"
        depth = 4 if model == "unet" else 2
        self.inc = DoubleConv(channels, width, width)
        self.downs, self.ups = [], []
        for level in range(1, depth + 1):
            out = width * 2 ** level // (2 if bilinear and level == depth else 1)
            setattr(self, f"down{level}", Down(width * 2 ** (level - 1), out))
            self.downs.append(f"down{level}")
        for level in range(depth - 1, -1, -1):
            here = width * 2 ** level
            out = here // 2 if bilinear and level > 0 else here
            setattr(self, f"up{4 - level}", Up(2 * here, out, bilinear))
            self.ups.append(f"up{4 - level}")
        self.outc = OutConv(width, classes)

    def forward(self, x):
        skips = [self.inc(x)]
        for name in self.downs:
            skips.append(getattr(self, name)(skips[-1]))
        x = skips.pop()
        for name in self.ups:
            x = getattr(self, name)(x, skips.pop())
        return self.outc(x)


def initialise(model):
    """Draws the convolutions' weights and biases in module order; returns their SHA-256."""
    stream, digest = Stream(SEED_WEIGHTS), hashlib.sha256()
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            shape = module.weight.shape
            bound = 1.0 / math.sqrt(shape[1] * shape[2] * shape[3])
            for tensor in (module.weight, module.bias):
                drawn = ((stream.draw(tensor.numel()) * 2 - 1) * bound).astype(np.float32)
                digest.update(drawn.tobytes())
                with torch.no_grad():
                    tensor.copy_(torch.from_numpy(drawn).view_as(tensor))
    return digest.hexdigest()


def batch():
    n, y, x = np.meshgrid(np.arange(BATCH), np.arange(HEIGHT), np.arange(WIDTH_PX), indexing="ij")
    labels = ((y >> 3) * 7 + (x >> 3) * 3 + n) % CLASSES
    c = np.arange(CHANNELS).reshape(1, CHANNELS, 1, 1)
    noise = Stream(SEED_INPUT).draw(BATCH * CHANNELS * HEIGHT * WIDTH_PX)
    noise = noise.reshape(BATCH, CHANNELS, HEIGHT, WIDTH_PX)
    image = ((labels[:, None] * 37 + c * 91) % 101) / 101.0 + 0.1 * (noise - 0.5)
    labels = np.where((y * WIDTH_PX + x + n) % 11 == 0, IGNORE, labels)
    return torch.from_numpy(image.astype(np.float32)), torch.from_numpy(labels.astype(np.int64))


def run(model, image, labels, dtype):
    """STEPS train steps in the given precision; tensors are those of the first, before its update."""
    net = UNet(*model, WIDTH, CHANNELS, CLASSES)
    digest = initialise(net)
    net.to(dtype)
    image = image.to(dtype)
    optimiser = torch.optim.RMSprop(net.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    found, losses = {}, []
    for step in range(STEPS):
        net.train()
        optimiser.zero_grad()
        logits = net(image)
        loss = F.cross_entropy(logits, labels, ignore_index=IGNORE)
        loss.backward()
        losses.append(float(loss.detach()))
        if step == 0:
            found["logits.train"] = logits.detach()
            found |= {f"grad.{name}": p.grad.clone() for name, p in net.named_parameters()}
            found |= {f"stat.{name}": b.clone() for name, b in net.named_buffers()
                      if "running" in name}
            net.eval()
            with torch.no_grad():
                found["logits.eval"] = net(image)
        optimiser.step()
    after = {name: [float(p.detach().double().sum()), float(p.detach().double().norm())]
             for name, p in net.named_parameters()}
    return {name: t.double().numpy() for name, t in found.items()}, losses, after, digest


def write(path, tensors, metadata):
    header, position = {"__metadata__": {k: json.dumps(v) for k, v in metadata.items()}}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape),
                        "data_offsets": [position, position + array.nbytes]}
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(array.tobytes())


def make(folder, model):
    image, labels = batch()
    exact, losses64, after64, digest = run(model, image, labels, torch.float64)
    single, losses32, after32, _ = run(model, image, labels, torch.float32)
    stored, whole = {}, {}
    for name, array in exact.items():
        flat = array.reshape(-1)
        whole[name] = {
            "shape": list(array.shape),
            "stride": STRIDE if flat.size > WHOLE else 1,
            "sum": float(flat.sum()),
            "norm": float(np.linalg.norm(flat)),
            "max": float(np.abs(flat).max()),
            "noise": float(np.abs(single[name].reshape(-1) - flat).max()),
        }
        stored[name] = np.ascontiguousarray(flat[:: whole[name]["stride"]], dtype=np.float32)
    wide = UNet(*model, 64, 3, 23)
    metadata = {
        "torch": torch.__version__,
        "config": {"model": model[0], "upsample": model[1], "width": WIDTH, "channels": CHANNELS,
                   "classes": CLASSES},
        "batch": BATCH, "height": HEIGHT, "width": WIDTH_PX, "ignoreIndex": IGNORE,
        "seedWeights": SEED_WEIGHTS, "seedInput": SEED_INPUT, "weightsSha256": digest,
        "inputSha256": hashlib.sha256(image.numpy().tobytes()).hexdigest(),
        "labelsSha256": hashlib.sha256(labels.numpy().astype(np.uint32).tobytes()).hexdigest(),
        "optimizer": {"learningRate": LR, "momentum": MOMENTUM, "weightDecay": DECAY},
        "losses64": losses64, "losses32": losses32, "after64": after64, "after32": after32,
        "tensors": whole,
        "parameterCount64": sum(p.numel() for p in wide.parameters()),
    }
    name = f"{model[0].replace('-', '_')}_{model[1]}.safetensors"
    write(os.path.join(folder, name), stored, metadata)
    gap = max(abs(a - b) for a, b in zip(losses64, losses32))
    drift = max(abs(after32[n][1] - after64[n][1]) / after64[n][1] for n in after64
                if not (n.endswith(("0.bias", "3.bias"))))
    print(name, os.path.getsize(os.path.join(folder, name)), "bytes; losses",
          " ".join(f"{v:.5f}" for v in losses64), f"; float32 off by {gap:.1e}, weights {drift:.1e}")


def main():
    torch.set_num_threads(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    for model in ("unet-small", "unet"):
        for upsample in ("bilinear", "transposed"):
            make(folder, (model, upsample))


if __name__ == "__main__":
    main()
