"""TensorFlow that reads each checkpoint in a process of its own: see oracle.py for the rest.

Many broken checkpoints make TensorFlow abort. A fork that aborts costs milliseconds, and not the
time that importing TensorFlow takes. The same file is the client and the worker's program.
"""

import os
import pickle

import oracle

ADDRESS_SPACE = 12 << 30  # bytes; TensorFlow reserves some of them when it starts
SECONDS = 20  # of CPU time for one checkpoint


class Reader(oracle.Oracle):
    """The client. A checkpoint that TensorFlow dies of is an `OracleError` of kind ForkDied."""

    script = os.path.abspath(__file__)


class ForkingWorker(oracle.Worker):
    """The worker."""

    def read(self, prefix):
        receiver, sender = os.pipe()
        child = os.fork()
        if not child:
            limit_process()
            self._answer(prefix, os.fdopen(sender, "wb"))
        os.close(sender)
        with os.fdopen(receiver, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(child, 0)
        if status:
            raise ForkDied(f"status {status}")
        kind, answer = pickle.loads(data)
        if kind == "error":
            raise ValueError(answer)
        return answer

    def _answer(self, prefix, pipe):
        try:
            answer = "found", super().read(prefix)
        except Exception as error:
            answer = "error", f"{type(error).__name__}: {error}"
        pickle.dump(answer, pipe)
        pipe.flush()
        os._exit(0)


class ForkDied(Exception):
    """TensorFlow took the fork down."""


def limit_process():
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    oracle.serve(ForkingWorker)
