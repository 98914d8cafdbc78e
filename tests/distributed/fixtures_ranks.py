"""Several ranks inside the test process: forked, so that none has to import torch again."""

import faulthandler
import multiprocessing
import os
import sys
import traceback

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
        told = [pipe.recv() if pipe.poll(120) else ("failed", "nothing in two minutes") for pipe in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()
    faults = [text for kind, text in told if kind == "failed"]
    assert not faults, "\n".join(faults)
    return [value for _, value in told]


def _be(rank, count, port, task, pipe):
    faulthandler.dump_traceback_later(100, file=sys.__stderr__)  # before `together` gives it up: where it hangs
    os.environ.update(ranks.environment(rank, count, port) | {"GLOO_SOCKET_IFNAME": "lo"})
    try:
        pipe.send(("returned", task(rank)))
    except BaseException:
        pipe.send(("failed", f"rank {rank}: {traceback.format_exc()}"))
    pipe.close()
    os._exit(0)
