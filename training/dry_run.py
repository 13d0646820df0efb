"""What a training would be, and what it would cost, before it is begun."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from training.build import half_type
from training.config import TrainingConfig
from training.cost import conv_flops_per_second, estimate
from training.request import Request
from training.session import Plan, plan_only
from training.watch.progress import duration


class Costs(BaseModel):
    """What a training costs.

    Attributes
    ----------
    pictures, of_pictures : int
        That are trained on, of those in the version.
    G_gflop, D_gflop, gflop : float
        10^9 operations for an image: forward passes, and training in all.
    memory_gb : float
        10^9 bytes on each GPU, about.
    sec_per_kimg : float
        At least: what plain convolutions take here for as many operations.
    seconds : float
        At least, for all of it.
    conv_tflops : float
        10^12 operations a second that plain convolutions reach here.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    version_hash: str
    width: int
    height: int
    inverted: bool
    mirrored: bool
    pictures: int
    of_pictures: int
    G_parameters: int
    D_parameters: int
    G_gflop: float
    D_gflop: float
    gflop: float
    memory_gb: float
    sec_per_kimg: float
    seconds: float
    conv_tflops: float
    device: str


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    text: str


def dry_run(request: Request, *, json_output: bool = False) -> None:
    """Show what would be trained, and what it would cost.

    No run is begun; a version in object storage is copied to the cache, since it has to be read.
    """
    plan, device = plan_only(request)
    speed = conv_flops_per_second(device, half_type(plan.config.network, device))
    costs = costs_of(plan, speed, device.type)
    if json_output:
        told = {
            "config": plan.config.model_dump(mode="json"),
            "cost": costs.model_dump(mode="json"),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        return
    lines = _lines(costs, plan.config.run.total_kimg)
    width = max(len(line.name) for line in lines)
    sys.stdout.write(describe(plan.config) + "\n\n")
    sys.stdout.writelines(f"{line.name:<{width}}  {line.text}\n" for line in lines)


def describe(config: TrainingConfig) -> str:
    """Write a configuration as TOML, as it can be put into `nonesuch.toml` below `[train]`."""
    lines = [f"preset = {json.dumps(config.preset)}"]
    for section, values in config.model_dump(mode="json", exclude={"preset"}).items():
        lines += ["", f"[train.{section}]"]
        lines += [f"{key} = {json.dumps(v)}" for key, v in values.items() if v is not None]
    return "\n".join(lines)


def costs_of(plan: Plan, conv_speed: float, device: str) -> Costs:
    """Give what a plan costs where plain convolutions reach `conv_speed` operations a second."""
    import torch

    facts, config = plan.facts, plan.config
    cost = estimate(config, facts.size, len(plan.selection.classes), torch.device(device))
    each = cost.flops_per_image * 1000 / conv_speed
    return Costs(
        version=facts.version,
        version_hash=facts.version_hash,
        width=facts.size[1],
        height=facts.size[0],
        inverted=facts.inverted,
        mirrored=config.data.mirror,
        pictures=len(plan.selection),
        of_pictures=len(plan.selection.index),
        G_parameters=cost.G_parameters,
        D_parameters=cost.D_parameters,
        G_gflop=cost.G_flops / 1e9,
        D_gflop=cost.D_flops / 1e9,
        gflop=cost.flops_per_image / 1e9,
        memory_gb=cost.memory / 1e9,
        sec_per_kimg=each,
        seconds=each * config.run.total_kimg,
        conv_tflops=conv_speed / 1e12,
        device=device,
    )


def _lines(costs: Costs, kimg: float) -> list[_Line]:
    mirrored = (
        "half of the time"
        if costs.mirrored
        else "no: mirrored text and logos would be learned; data.mirror=true where that is right"
    )
    return [
        _Line("version", f"{costs.version} ({costs.version_hash[:12]})"),
        _Line(
            "pictures",
            f"{costs.pictures:,} of {costs.of_pictures:,}, {costs.width}×{costs.height} "
            "(width × height)",
        ),
        _Line("inverted", "yes" if costs.inverted else "no"),
        _Line("mirrored", mirrored),
        _Line("parameters", f"G {costs.G_parameters:,}, D {costs.D_parameters:,}"),
        _Line(
            "GFLOP an image",
            f"G {costs.G_gflop:,.2f}, D {costs.D_gflop:,.2f} forward, "
            f"{costs.gflop:,.1f} in training",
        ),
        _Line("memory on each GPU", f"about {costs.memory_gb:.2f} GB"),
        _Line(
            "s/kimg",
            f"at least {costs.sec_per_kimg:,.1f}: plain convolutions reach "
            f"{costs.conv_tflops:,.3f} TFLOP/s on this {costs.device}",
        ),
        _Line("time in all", f"at least {duration(costs.seconds)} for {kimg:g} kimg"),
    ]
