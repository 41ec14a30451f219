"""Folders of trained models for the real programs, made by the tests: real networks, whose weights are set by hand.

Weights drawn at random find nothing that could be checked.  So the network of nnU-Net is a real U-Net, without its
nonlinearities, that reads the class of a voxel off its intensity.  A scan that is painted accordingly then has a known
answer, which has to survive the program's own resampling, cropping, tiling, cleaning and naming.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGURATION = "3d_fullres"
_NETWORK = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
_PATCH = 64
_NEVER = -1000.0


@dataclass(frozen=True)
class Reader:
    """A network that reads classes off intensities.

    :param lowest: intensity of the first of the classes; the others follow, one higher each.
    :param classes: intensities of one class are neighbors.
    :param heads: how many classes there are, the background included.
    :param channels: of the input; only the first one is read.
    """

    lowest: int
    classes: Sequence[int]
    heads: int
    channels: int = 1


def nnunet_model(folder: Path, reader: Reader, trainer: str, spacing: float) -> None:
    """Write what nnU-Net leaves after training.

    :param folder: gets ``plans.json``, ``dataset.json`` and ``fold_0/checkpoint_final.pth``.
    :param spacing: of the voxels that the network wants, in mm.
    """
    import torch

    (folder / "fold_0").mkdir(parents=True)
    _write(folder / "dataset.json", {
        "channel_names": {str(c): "noNorm" for c in range(reader.channels)}, "numTraining": 1,
        "labels": {"background": 0} | {f"class {number}": number for number in range(1, reader.heads)},
        "file_ending": ".nii.gz", "overwrite_image_reader_writer": "SimpleITKIO"})
    _write(folder / "plans.json", _plans(reader.channels, spacing))
    torch.save({"network_weights": _unet(reader).state_dict(), "trainer_name": trainer,
                "init_args": {"configuration": CONFIGURATION}, "inference_allowed_mirroring_axes": None},
               folder / "fold_0" / "checkpoint_final.pth")


def _unet(reader: Reader) -> Any:
    """A U-Net that carries the first channel past its depth, to lines over it whose greatest is the class."""
    import torch
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    kinds = _architecture() | {"conv_op": torch.nn.Conv3d}
    network = PlainConvUNet(input_channels=reader.channels, num_classes=reader.heads, deep_supervision=False, **kinds)
    middle = (len(reader.classes) - 1) / 2.0  # half precision likes small numbers
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first, last = network.encoder.stages[0][0].convs[0].conv, network.decoder.stages[0].convs[0].conv
        first.weight[0, 0], first.bias[0] = 1.0, -reader.lowest - middle
        last.weight[0, 2] = 1.0  # what skips the depth comes after what went through it
        head, height = network.decoder.seg_layers[-1], 0.0
        head.bias[:] = _NEVER
        for slope, number in enumerate(dict.fromkeys(reader.classes)):  # each line is steeper than the one before it,
            height -= 2.0 * (reader.classes.index(number) - 0.5 - middle) if slope else 0.0  # and crosses it in between
            head.weight[number, 0], head.bias[number] = 2.0 * slope, height
    return network


def _architecture() -> dict[str, Any]:
    return {"n_stages": 2, "features_per_stage": [2, 2], "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[1, 1, 1]] * 2, "strides": [[1, 1, 1], [2, 2, 2]], "n_conv_per_stage": [1, 1],
            "n_conv_per_stage_decoder": [1], "conv_bias": True, "norm_op": None, "norm_op_kwargs": None,
            "dropout_op": None, "dropout_op_kwargs": None, "nonlin": None, "nonlin_kwargs": None}


def _plans(channels: int, spacing: float) -> dict[str, Any]:
    resampling: dict[str, Any] = {}
    for what in ("data", "seg", "probabilities"):
        resampling[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        resampling[f"resampling_fn_{what}_kwargs"] = {"is_seg": what == "seg", "order": 1, "order_z": 0,
                                                      "force_separate_z": None}
    return {
        "dataset_name": "Tiny", "plans_name": "nnUNetPlans", "image_reader_writer": "SimpleITKIO",
        "original_median_spacing_after_transp": [spacing] * 3, "original_median_shape_after_transp": [_PATCH] * 3,
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(c): {} for c in range(channels)},
        "configurations": {CONFIGURATION: {
            "data_identifier": "tiny", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
            "patch_size": [_PATCH] * 3, "median_image_size_in_voxels": [_PATCH] * 3, "spacing": [spacing] * 3,
            "normalization_schemes": ["NoNormalization"] * channels, "use_mask_for_norm": [False] * channels,
            "batch_dice": False, **resampling, "architecture": {
                "network_class_name": _NETWORK, "arch_kwargs": _architecture(),
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]}}}}


def spineps_models(folder: Path, semantic: Reader, labels: Mapping[int, int], cutout: Sequence[int],
                   levels: Mapping[int, float]) -> None:
    """Write the three models that SPINEPS uses for a CT, where it would download them to.

    Its instance model calls every vertebra in a cutout the middle one, so that a cutout has to be as high as one.  Its
    labeling model thinks ``levels`` of any vertebra.

    :param semantic: network that finds subregions; :param labels: its classes -> labels of subregions.
    :param cutout: voxels of 1 mm, along P, I, R; multiples of 8.
    :param levels: numbers from C1 = 0 on -> how much it thinks so.
    """
    from spineps.utils import auto_download as registry

    def config(key: str, phase: str, kind: str, **further: Any) -> Path:
        version = registry.phase_to_version.get(f"{phase}_{key}", registry.phase_to_version[phase])
        model = folder / f"{registry.download_names[key]}_{version}"
        model.mkdir(parents=True)
        given = {"log_name": key, "modality": ["CT"], "acquisition": "iso", "modeltype": kind, "available_folds": 1,
                 "model_expected_orientation": ["P", "I", "R"], "inference_augmentation": False,
                 "resolution_range": [1.0, 1.0, 1.0], "default_step_size": 0.5, "labels": {}}
        _write(model / "inference_config.json", given | further)
        return model

    nnunet_model(config("ct", "SEMANTIC", "nnunet", labels={str(k): str(v) for k, v in labels.items()}), semantic,
                 "nnUNetTrainer", 1.0)
    _save_instance_model(config("ct_instance", "INSTANCE", "unet", modality=["SEG"], expected_inputs=["seg"],
                                labels={"1": "1", "2": "2", "3": "3"}, cutout_size=list(cutout)))
    _save_labeling_model(config("ct_labeling", "LABELING", "classifier"), levels)


def _save_instance_model(folder: Path) -> None:
    import torch
    from spineps.architectures.pl_unet import PLNet

    model = PLNet()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        network = model.network
        network.init_conv.weight[0, 1:, 3, 3, 3] = 1.0  # any part of a vertebra
        network.final_res_block.res_conv.weight[0, network.final_res_block.res_conv.in_channels // 2] = 1.0
        network.final_conv.weight[2, 0] = 2.0
        network.final_conv.bias[:] = torch.tensor([0.0, _NEVER, -1.0, _NEVER])
    _save(model, folder / "weights.ckpt", {})


def _save_labeling_model(folder: Path, levels: Mapping[int, float]) -> None:
    import torch
    from spineps.architectures.pl_densenet import ARGS_MODEL, PLClassifier

    options = ARGS_MODEL(backbone="RESNET10", num_classes=24, classification_linear=False)
    options.final_size = (48, 48, 32)
    heads = {"VERT": 24}
    model = PLClassifier(options, heads)
    with torch.no_grad():
        last = model.classification_heads["VERT"][-1]
        last.weight.zero_()
        last.bias[:] = torch.tensor([levels.get(level, 0.0) for level in range(24)])
    _save(model, folder / "val_f1=1.00-valf1-weights.ckpt", {"opt": options, "group_2_n_channel": heads})


def _save(model: Any, path: Path, parameters: Mapping[str, Any]) -> None:
    import pytorch_lightning
    import torch

    torch.save({"state_dict": model.state_dict(), "hyper_parameters": dict(parameters), "epoch": 0, "global_step": 0,
                "pytorch-lightning_version": pytorch_lightning.__version__}, path)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
