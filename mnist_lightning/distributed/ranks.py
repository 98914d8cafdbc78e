"""The processes that train one network together, one per device: which of them this is, and what they agree on.

On one machine `launcher` starts them; on several, torchrun does so on each. Both tell a process its place by the same
environment variables. Torch is imported only inside the functions that need it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_lightning.errors import UserError

NOWHERE = Path(os.devnull) / "the first rank keeps the run folder"
"""The run folder of all ranks but the first: any attempt to write there fails."""


@dataclass(frozen=True)
class Place:
    """The place of a process among those that train together; the first writes and prints, the others only train.

    Attributes:
        rank: its number, from 0.
        world: how many there are.
        local_rank: its number on its machine, which is also that of its device.
        local_world: how many there are on its machine.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @property
    def machines(self) -> int:
        """How many machines there are."""
        return self.world // self.local_world


_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def place() -> Place:
    """The place of this process; one that trains alone is the first of one."""
    return Place(*(int(os.environ[name]) for name in _VARIABLES)) if is_started() else Place()


def is_started() -> bool:
    """Whether torchrun or `launcher` started this process as a rank."""
    return all(os.environ.get(name, "").isdigit() for name in _VARIABLES)


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """The variables that tell a process that it is the `rank`-th of `count` on this machine."""
    values = dict(zip(_VARIABLES, (rank, count, rank, count), strict=True))
    return {name: str(value) for name, value in values.items()} | {
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def to_start(settings: Mapping[str, Any]) -> int:
    """How many processes this one has to start that train in its place; 0 if it trains itself.

    Raises:
        UserError: torchrun was started on other devices or machines than the settings say, or the batch is too small.
    """
    trainer, here = settings["trainer"], place()
    devices, machines = trainer["devices"], trainer["num_nodes"]
    if is_started():
        if devices not in ("auto", here.local_world):
            raise UserError(
                f"trainer.devices={devices}, but torchrun started {here.local_world} processes on this machine: add "
                "trainer=ddp, which takes what there is, or give torchrun --nproc-per-node the same number."
            )
        if machines not in ("auto", here.machines):
            raise UserError(f"trainer.num_nodes={machines}, but torchrun started on {here.machines}: leave it at auto.")
        world, count = here.world, 0
    else:
        if machines not in ("auto", 1):
            raise UserError(
                f"trainer.num_nodes={machines} needs torchrun on each machine: torchrun --nnodes={machines} "
                "--node-rank=<0, 1, ...> --master-addr=<of the first> --nproc-per-node=<devices> scripts/train.py ..."
            )
        world = _gpus(trainer) if devices == "auto" else devices
        count = world if world > 1 else 0
    batch = settings["data"].get("batch_size")  # a DataModule of the user's own may take none
    if world > 1 and batch is not None and batch < 2 * world:  # batch norm needs two
        raise UserError(f"data.batch_size={batch} is shared out among {world} devices: take {2 * world} or more.")
    return count


def _gpus(trainer: Mapping[str, Any]) -> int:
    """How many GPUs there are; 1 where there is none and nothing needs several."""
    import torch

    count = torch.cuda.device_count() if trainer["accelerator"] in ("auto", "gpu") else 0
    if count == 0 and trainer["strategy"] != "auto":
        raise UserError(
            f"There is no GPU here for trainer={trainer['strategy']} to train on: trainer=ddp_sim tries several "
            "devices on the processor, and trainer.accelerator=cpu trainer.devices=2 does it with this strategy."
        )
    return max(count, 1)


def join(device: str) -> None:
    """Join the other ranks, if there are any; `device` is the kind that they train on."""
    here = place()
    if here.world == 1:
        return
    import torch

    if device == "cuda":
        own = torch.device("cuda", here.local_rank)
        torch.cuda.set_device(own)
        torch.distributed.init_process_group("nccl", device_id=own)
    else:
        torch.distributed.init_process_group("gloo")


@contextlib.contextmanager
def first_of_machine_first() -> Iterator[None]:
    """Let the first rank of each machine run the block before the others: for what is fetched once per machine."""
    here = place()
    if here.world == 1:
        yield
        return
    import torch.distributed

    if here.local_rank > 0:
        torch.distributed.barrier()
    yield
    if here.local_rank == 0:
        torch.distributed.barrier()


def of_first(value: Any) -> Any:
    """The value that the first rank has; every rank calls it."""
    if place().world == 1:
        return value
    import torch.distributed

    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def agree(facts: Mapping[str, Any]) -> None:
    """Compare what this rank has found with what the first has: machines may differ in their files and settings.

    Raises:
        UserError: naming the first fact that differs.
    """
    first = of_first(dict(facts))
    for name, value in facts.items():
        if value != first.get(name):
            raise UserError(
                f"{name} is {value} on {socket.gethostname()} and {first.get(name)} where the first rank runs: "
                "all machines need the same settings and data."
            )


def leave() -> None:
    """Leave the other ranks once the training has ended for all."""
    if place().world > 1:
        import torch.distributed

        torch.distributed.destroy_process_group()
