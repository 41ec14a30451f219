"""Trains the embedded network on invented scans, for as long as it is given, on a GPU where there is one.

Usage: python train.py --work WORK --minutes N [--config config.json] [--processes N] [--resume]
                [--device auto|cpu|cuda]

On a busy CPU, two processes of one thread each train faster than one of two threads: they wait less for one another.
The learning rate follows the clock, so that a busy machine trains less but ends as well.  Stop it whenever you like:
``--resume`` goes on from the last checkpoint with the time that was left.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generator import CHANNELS, samples
from network import SpineNet
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, IterableDataset

from SpineAnalysisLib.segmentation.network.classes import Class

CHECKPOINT_S = 150.0


class Samples(IterableDataset[tuple[Tensor, Tensor]]):
    """Samples without end; every worker draws its own."""

    def __init__(self, folder: Path, seed: int, size: tuple[int, int], device: torch.device) -> None:
        self.folder, self.seed, self.size, self.device = folder, seed, size, device

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        if worker is not None:
            torch.set_num_threads(1)
        number = worker.id if worker is not None else 0
        yield from samples(self.folder, self.seed * 1000 + number, *self.size, self.device)


def loss_of(logits: Tensor, share: Tensor, weights: Tensor, dice: float) -> Tensor:
    """Cross-entropy with shares of classes, and 1 - Dice of the batch over all classes but the background.

    :param dice: how much the latter counts.  It helps classes that are rare, but like weights of classes it makes too
        much of them: where the second version, trained with 1, said 0.77 for rim, 0.60 of it was rim.
    """
    log = torch.log_softmax(logits, 1)
    weighted = share * weights[None, :, None, None]
    entropy = -(weighted * log).sum() / weighted.sum()
    probable = log.exp()
    both = (probable * share).sum((0, 2, 3))[1:]
    either = (probable.square() + share.square()).sum((0, 2, 3))[1:]
    return entropy + dice * (1 - (2 * both + 20.0) / (either + 20.0)).mean()


def rate_at(share: float, highest: float) -> float:
    """Learning rate after a share of the time: a short rise, then a cosine to almost nothing."""
    if share < 0.02:
        return highest * (0.1 + 0.9 * share / 0.02)
    return highest * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * min((share - 0.02) / 0.98, 1.0)))))


def average_into(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """An exponential moving average of weights and of the statistics of normalization."""
    keep = min(decay, (1 + step) / (10 + step))
    for mine, its in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.dtype.is_floating_point:
            mine.lerp_(its, 1 - keep)
        else:
            mine.copy_(its)


def shared(network: nn.Module, spent: float, loss: float) -> tuple[float, float]:
    """Gradients, and the numbers given, averaged over all processes."""
    if not distributed.is_initialized():
        return spent, loss
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    flat = torch.cat([*(g.reshape(-1) for g in grads), torch.tensor([spent, loss])])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    start = 0
    for grad in grads:
        grad.copy_(flat[start:start + grad.numel()].view_as(grad))
        start += grad.numel()
    return float(flat[-2]), float(flat[-1])


def loader_of(folder: Path, seed: int, config: dict[str, Any], batch: int, device: torch.device,
              ) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of samples: on the CPU from processes of their own, on a GPU made there, between steps."""
    workers = config["workers"] if device.type == "cpu" else 0
    return DataLoader(Samples(folder, seed, tuple(config["crop"]), device), batch, num_workers=workers,
                      prefetch_factor=4 if workers else None)


def device_of(name: str) -> torch.device:
    """``auto`` is a GPU where there is one."""
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def train(rank: int, work: Path, minutes: float, config: dict[str, Any], resume: bool, processes: int,
          device: torch.device) -> None:
    """What one process does; the first one keeps the average and writes the checkpoints."""
    if processes > 1:
        torch.set_num_threads(1)
        distributed.init_process_group("gloo", f"file://{work}/meeting", rank=rank, world_size=processes)
    torch.manual_seed(config["seed"])
    network = SpineNet(CHANNELS, len(Class), tuple(config["widths"])).to(device, memory_format=torch.channels_last)
    average = SpineNet(CHANNELS, len(Class), tuple(config["widths"])).to(device)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), config["rate"], weight_decay=config["decay"])
    step, spent, history = 0, 0.0, []
    last = work / "last.pt"
    if resume and last.exists():
        state = torch.load(last, weights_only=True, map_location=device)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent, history = state["step"], state["spent"], state["history"]
    weights = torch.tensor(config["class_weights"], device=device)
    loader = loader_of(work / "pool", (config["seed"] + step) * processes + rank, config, config["batch"] // processes,
                       device)
    began, saved, total = time.monotonic() - spent, time.monotonic(), minutes * 60
    running = history[-1][2] if history else 0.0
    for image, share in loader:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(spent / total, config["rate"])
        image = image.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            logits = network(image)
        loss = loss_of(logits.float(), share.to(device).float(), weights, config["dice"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        spent, value = shared(network, time.monotonic() - began, loss.item())
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        step += 1
        average_into(average, network, step, config["ema"])
        running += (value - running) / min(step, 100)
        if step % 50 == 0 and rank == 0:
            history.append([step, round(spent), round(running, 4)])
            print(f"step {step}  {spent / 60:.1f} min  loss {running:.4f}", flush=True)
        if rank == 0 and (time.monotonic() - saved > CHECKPOINT_S or spent > total):
            saved = time.monotonic()
            part = work / "last.part"
            torch.save({"network": network.state_dict(), "average": average.state_dict(),
                        "optimizer": optimizer.state_dict(), "step": step, "spent": spent, "history": history,
                        "config": config}, part)
            part.rename(last)
        if spent > total:
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    options = parser.parse_args()
    device = device_of(options.device)
    if options.processes > 1 and device.type != "cpu":
        parser.error("--processes is for the CPU; a GPU is trained on by one")
    (options.work / "meeting").unlink(missing_ok=True)
    settings = (options.work.resolve(), options.minutes, json.loads(options.config.read_text()), options.resume,
                options.processes, device)
    if options.processes == 1:
        train(0, *settings)
    else:
        torch.multiprocessing.spawn(train, settings, options.processes)
