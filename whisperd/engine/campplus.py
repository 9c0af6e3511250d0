"""CAM++, the network that turns speech into a speaker embedding (Wang et al. 2023, arXiv 2303.00332).

A small two-dimensional residual network reads the filterbank; a densely connected time-delay network
(D-TDNN) follows, each of whose layers is scaled by a mask drawn from its context; the mean and deviation
over time become the embedding. Module and parameter names are those of the published weights.

Recordings of any lengths go through together, one behind the other on a single time axis with a gap of
zeros between them. Each convolution finds in the gap the zeros that it would pad with, so an embedding
doesn't depend on its neighbours, and no time is spent on filling up short recordings to the longest one.
"""

# mypy: allow-subclassing-any
# (torch's types are not read.)

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from whisperd.engine.filterbank import MEL_BINS

DIMENSION: Final = 192
MIN_FRAMES: Final = 3
"""Fewer frames of input leave a single one behind the stride, which has no deviation."""

_HEAD_CHANNELS: Final = 32
_TDNN_CHANNELS: Final = 128
_BOTTLENECK_CHANNELS: Final = 128
_GROWTH: Final = 32
_BLOCKS: Final = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of each dense block."""
_STRIDE: Final = 2
_GAP: Final = 4
"""Frames of zeros behind each recording: the reach of the widest convolution, times the stride before it."""
_LENGTH_STEP: Final = 512
"""The time axis is a multiple of it: for each new length, oneDNN makes and keeps 20 MB of programs."""
_CONTEXT_FRAMES: Final = 100
"""Frames of the D-TDNN that share one local context."""


def room(length: int) -> int:
    """Frames that a recording of `length` frames takes on the common time axis."""
    return -(-length // _STRIDE) * _STRIDE + _GAP


class Layout:
    """Where each of some recordings, of `lengths` frames, lies on the common time axis."""

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        if min(lengths) < MIN_FRAMES:
            raise ValueError(f"a recording of {min(lengths)} frames; at least {MIN_FRAMES} are needed")
        strided = [-(-length // _STRIDE) for length in lengths]
        *self.starts, end = accumulate(map(room, lengths), initial=0)
        self.frames = -(-end // _LENGTH_STEP) * _LENGTH_STEP

        owner = torch.full((self.frames,), -1)
        context = torch.zeros(self.frames // _STRIDE, dtype=torch.long)
        owner_of_context: list[int] = []
        for index, (start, length) in enumerate(zip(self.starts, lengths, strict=True)):
            owner[start : start + length] = index
            first = start // _STRIDE
            parts = torch.arange(strided[index]) // _CONTEXT_FRAMES
            context[first : first + strided[index]] = len(owner_of_context) + parts
            owner_of_context += [index] * (int(parts[-1]) + 1)
        strided_owner = owner[::_STRIDE]
        strided_valid = strided_owner >= 0

        self.valid = (owner >= 0).float().to(device)
        """(frames,) 1 where a recording lies, 0 in the gaps."""
        self.strided_valid = strided_valid.float().to(device)
        """The same at the rate of the D-TDNN."""
        self.owner = strided_owner.clamp(min=0).to(device)
        """(strided frames,) index of the recording."""
        self.context = context.to(device)
        """(strided frames,) index of the local context."""
        self.lengths = torch.tensor(strided, dtype=torch.float32, device=device)

        of_owner = functional.one_hot(strided_owner.clamp(min=0)).float() * strided_valid[:, None]
        of_context = functional.one_hot(context).float() * strided_valid[:, None]
        owner_mean = of_owner / of_owner.sum(dim=0)
        self.owner_mean = owner_mean.to(device)
        """(strided frames, recordings) a matrix that averages over each recording."""
        context_mean = of_context / of_context.sum(dim=0)
        self.context_mean = (owner_mean[:, owner_of_context] + context_mean).to(device)
        """(strided frames, contexts) the average of each context plus that of its whole recording."""


class _ResidualUnit(nn.Module):
    """Two 3x3 convolutions around which the input is led; `stride` halves the frequencies."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu_().mul_(valid)
        y = self.bn2(self.conv2(y))
        return y.add_(self.shortcut(x)).relu_().mul_(valid)


class _Head(nn.Module):
    """The residual network: (1, 1, mel bins, frames) to (1, channels, mel bins / 8, frames)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, _HEAD_CHANNELS, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_HEAD_CHANNELS)
        self.layer1 = nn.ModuleList([_ResidualUnit(_HEAD_CHANNELS, 2), _ResidualUnit(_HEAD_CHANNELS, 1)])
        self.layer2 = nn.ModuleList([_ResidualUnit(_HEAD_CHANNELS, 2), _ResidualUnit(_HEAD_CHANNELS, 1)])
        self.conv2 = nn.Conv2d(_HEAD_CHANNELS, _HEAD_CHANNELS, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_HEAD_CHANNELS)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu_().mul_(valid)
        for unit in (*self.layer1, *self.layer2):
            x = unit(x, valid)
        return self.bn2(self.conv2(x)).relu_().mul_(valid)


class _Norm(nn.Module):
    """Batch normalisation of (channels, frames), then ReLU."""

    def __init__(self, channels: int, *, affine: bool = True, relu: bool = True) -> None:
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(channels, affine=affine)
        self._relu = relu

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.batchnorm(x[None])[0]
        return y.relu_() if self._relu else y


class _Unit(nn.Module):
    """A convolution over (channels, frames) that is normalised: a layer of a time-delay network."""

    def __init__(self, inputs: int, outputs: int, norm: _Norm, *, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.linear = nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.nonlinear = norm

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.nonlinear(self.linear(x[None])[0])
        return y


class _Transit(nn.Module):
    """Halves the channels behind a dense block."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.nonlinear = _Norm(inputs)
        self.linear = nn.Conv1d(inputs, inputs // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear.weight[:, :, 0] @ self.nonlinear(x)
        return y


class _ContextAwareMask(nn.Module):
    """A dilated convolution whose output is scaled by what its context says."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(
            _BOTTLENECK_CHANNELS, _GROWTH, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.linear1 = nn.Conv1d(_BOTTLENECK_CHANNELS, _BOTTLENECK_CHANNELS // 2, 1)
        self.linear2 = nn.Conv1d(_BOTTLENECK_CHANNELS // 2, _GROWTH, 1)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        # A context's frames share its mask, which is therefore worked out once for each context.
        context = (x @ layout.context_mean)[None]
        mask = self.linear2(self.linear1(context).relu_()).sigmoid_()[0]
        local: Tensor = self.linear_local(x[None])[0]
        return local.mul_(mask[:, layout.context])


class _DenseLayer(nn.Module):
    """One layer of a dense block: reads all that came before it, adds `_GROWTH` channels."""

    def __init__(self, inputs: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _Norm(inputs)
        self.linear1 = nn.Conv1d(inputs, _BOTTLENECK_CHANNELS, 1, bias=False)
        self.nonlinear2 = _Norm(_BOTTLENECK_CHANNELS)
        self.cam_layer = _ContextAwareMask(dilation)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        weight = self.linear1.weight[:, :, 0]
        bottleneck = self.nonlinear2(weight @ self.nonlinear1(x)).mul_(layout.strided_valid)
        y: Tensor = self.cam_layer(bottleneck, layout)
        return y


class _DenseBlock(nn.Module):
    """Layers that each see the input and the outputs of all layers before them."""

    def __init__(self, inputs: int, layers: int, dilation: int) -> None:
        super().__init__()
        self.outputs = inputs + layers * _GROWTH
        for number in range(layers):
            self.add_module(f"tdnnd{number + 1}", _DenseLayer(inputs + number * _GROWTH, dilation))

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        # One buffer that fills up costs less than a concatenation for each layer.
        known = x.shape[0]
        channels = x.new_empty(self.outputs, x.shape[1])
        channels[:known] = x
        for layer in self.children():
            channels[known : known + _GROWTH] = layer(channels[:known], layout)
            known += _GROWTH
        return channels


class CamPlusPlus(nn.Module):
    """The network: filterbank frames of some recordings to one embedding each. For inference only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = _Head()
        self.xvector = nn.ModuleDict()
        self.xvector["tdnn"] = _Unit(
            _HEAD_CHANNELS * MEL_BINS // 8, _TDNN_CHANNELS, _Norm(_TDNN_CHANNELS), kernel=5, stride=_STRIDE
        )
        channels = _TDNN_CHANNELS
        for number, (layers, dilation) in enumerate(_BLOCKS, start=1):
            block = _DenseBlock(channels, layers, dilation)
            self.xvector[f"block{number}"] = block
            self.xvector[f"transit{number}"] = _Transit(block.outputs)
            channels = block.outputs // 2
        self.xvector["out_nonlinear"] = _Norm(channels)
        norm = _Norm(DIMENSION, affine=False, relu=False)
        self.xvector["dense"] = _Unit(channels * 2, DIMENSION, norm)

    def forward(self, frames: Tensor, layout: Layout) -> Tensor:
        """`frames` is (layout.frames, MEL_BINS), zero in the gaps; returns (recordings, DIMENSION)."""
        image = frames.T[None, None].contiguous(memory_format=torch.channels_last)
        x = self.head(image, layout.valid)[0].flatten(end_dim=1)
        x = self.xvector["tdnn"](x).mul_(layout.strided_valid)
        for number in range(1, len(_BLOCKS) + 1):
            x = self.xvector[f"block{number}"](x, layout)
            x = self.xvector[f"transit{number}"](x)
        x = self.xvector["out_nonlinear"](x)

        mean = x @ layout.owner_mean
        centred = (x - mean[:, layout.owner]).mul_(layout.strided_valid)
        variance = (centred.square_() @ layout.owner_mean) * (layout.lengths / (layout.lengths - 1))
        embeddings: Tensor = self.xvector["dense"](torch.cat([mean, variance.sqrt()]))
        return embeddings.T


def load(path: Path) -> CamPlusPlus:
    """The network with the published weights in `path`. Raises RuntimeError where they don't fit."""
    network = CamPlusPlus()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[no-any-return]
