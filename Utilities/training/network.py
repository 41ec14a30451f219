"""The network: a U-Net over stacks of sagittal slices."""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 128, 192)


def _block(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for count in (inside, outside):
        layers += [nn.Conv2d(count, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class SpineNet(nn.Module):
    """(N, C, H, W) stacks to (N, K, H, W) logits; H and W are multiples of 16."""

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.down = nn.ModuleList(_block(a, b) for a, b in zip((channels, *widths), widths, strict=False))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in zip(widths, widths[1:], strict=False))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for level in range(len(self.up) - 1, -1, -1):
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.up[level](torch.cat([x, kept[level]], 1))
        return self.head(x)


class Answering(nn.Module):
    """The network as it is shipped: probabilities instead of logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, stack: Tensor) -> Tensor:
        return torch.softmax(self.network(stack).float(), 1)
