"""CAM++ without its weights, for what doesn't depend on them."""

import torch

from whisperd.engine.campplus import CamPlusPlus


def untrained() -> CamPlusPlus:
    """The network with parameters drawn at random, such that a signal keeps its size on the way through."""
    # More threads than free cores wait for each other.
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = CamPlusPlus()
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d)):
            torch.nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.5, 0.5)
            if module.affine:
                torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    network.eval()
    return network
