"""Several ranks inside the test process: forked, so that none has to import torch again."""

import multiprocessing
import os
import traceback
from multiprocessing.connection import wait

from mnist_lightning.distributed import launcher, ranks


def together(count, task):
    """Call `task(rank)` in `count` forked ranks at once, and return what each returned."""
    context = multiprocessing.get_context("fork")
    port = launcher._free_port()
    pipes, processes = [], []
    for rank in range(count):
        ours, theirs = context.Pipe(duplex=False)
        processes.append(context.Process(target=_be, args=(rank, count, port, task, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        told = _answers(pipes)
    finally:
        for process in processes:
            process.kill()
            process.join()
    faults = [text for kind, text in told if kind == "failed"]
    assert faults or len(told) == count, "nothing in two minutes"
    assert not faults, "\n".join(faults)
    return [value for _, value in told]


def _answers(pipes):
    """What the ranks say, in their order; only until one fails, for which the others may wait in vain."""
    told = {}
    while len(told) < len(pipes):
        ready = wait([pipe for pipe in pipes if pipe not in told], 120)
        told |= {pipe: pipe.recv() for pipe in ready}
        if not ready or any(told[pipe][0] == "failed" for pipe in ready):
            break
    return [told[pipe] for pipe in pipes if pipe in told]


def _be(rank, count, port, task, pipe):
    os.environ.update(ranks.environment(rank, count, port) | {"GLOO_SOCKET_IFNAME": "lo"})
    try:
        pipe.send(("returned", task(rank)))
    except BaseException:
        pipe.send(("failed", f"rank {rank}: {traceback.format_exc()}"))
    pipe.close()
    os._exit(0)
