"""Directories with diarization pipelines, as a user might have them."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from weights import weights

from whisperd.engine.pyannote_audio import Problem, Resolution, Specifications

_DIMENSION = 64


def community_shaped(directory: Path) -> Path:
    """A pipeline laid out as `community-1` is: a real segmentation, an embedding that has learnt nothing."""
    from pyannote.audio.models.embedding import XVectorSincNet

    shutil.copytree(weights("diarization") / "segmentation", directory / "segmentation")
    torch.manual_seed(0)
    embedding = XVectorSincNet(dimension=_DIMENSION)
    embedding.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0
    )
    checkpoint = {
        "state_dict": embedding.state_dict(),
        "hyper_parameters": dict(embedding.hparams),
        "pytorch-lightning_version": "2.4.0",
    }
    embedding.on_save_checkpoint(checkpoint)
    (directory / "embedding").mkdir()
    torch.save(checkpoint, directory / "embedding" / "pytorch_model.bin")
    (directory / "plda").mkdir()
    zero, one = np.zeros(_DIMENSION), np.eye(_DIMENSION)
    np.savez(directory / "plda" / "xvec_transform.npz", mean1=zero, mean2=zero, lda=one)
    np.savez(directory / "plda" / "plda.npz", mu=zero, tr=one, psi=np.arange(_DIMENSION, 0, -1.0))
    config = {
        "dependencies": {"pyannote.audio": "4.0.0"},
        "pipeline": {
            "name": "pyannote.audio.pipelines.SpeakerDiarization",
            "params": {
                "segmentation": "$model/segmentation",
                "embedding": "$model/embedding",
                "plda": "$model/plda",
                "clustering": "VBxClustering",
                "embedding_exclude_overlap": True,
                "embedding_batch_size": 32,
                "segmentation_batch_size": 32,
            },
        },
        "params": {
            "clustering": {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8},
            "segmentation": {"min_duration_off": 0.0},
        },
    }
    (directory / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    return directory
