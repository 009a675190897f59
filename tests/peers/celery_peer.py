"""Celery as a peer: enqueue/s, then process/s of a task that does nothing but leave a byte.

celery_peer.py BROKER CONFIGURATION TASKS prints {"enqueue": …, "process": …}. Started by Celery itself as a
module, it is the application of the workers.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from kombu import Queue

# Every one keeps a task until it has run and was confirmed by the broker: what ours does.
CONFIGURATIONS = {
    "quorum, prefork": ("quorum", "prefork"),
    "quorum, threads": ("quorum", "threads"),
    "classic, threads": ("classic", "threads"),
}
WORKERS = 2
PRODUCERS = 8
PATIENCE = 120

broker = os.environ["PEER_BROKER"] if "PEER_BROKER" in os.environ else sys.argv[1]
configuration = os.environ.get("PEER_CONFIGURATION") or sys.argv[2]
kind, pool = CONFIGURATIONS[configuration]
name = "peer." + configuration.replace(", ", ".")

app = Celery("celery_peer", broker=broker)
app.conf.update(
    task_default_queue=name,
    task_default_queue_type=kind,
    task_queues=[Queue(name, queue_arguments={"x-queue-type": kind}, durable=True)],
    worker_detect_quorum_queues=True,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    broker_pool_limit=PRODUCERS,
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=50,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    task_default_delivery_mode="persistent",
)

marks = None


@app.task(name="noop")
def noop(payload):
    global marks
    if marks is None:
        marks = os.open(os.environ["PEER_MARKS"], os.O_WRONLY | os.O_APPEND)
    os.write(marks, b".")


def enqueue(tasks):
    """Confirmed one after the other, as Celery does: the faster of one producer and several threads."""
    payload = "x" * 1024
    noop.apply_async((payload,))
    half = tasks // 2
    start = time.monotonic()
    for _ in range(half):
        noop.apply_async((payload,))
    alone = half / (time.monotonic() - start)
    start = time.monotonic()
    with ThreadPoolExecutor(PRODUCERS) as threads:
        list(threads.map(lambda _: noop.apply_async((payload,)), range(tasks - half - 1)))
    together = (tasks - half - 1) / (time.monotonic() - start)
    return max(alone, together)


def process(tasks):
    """From the first byte to the last, so that the start of the workers does not count."""
    with tempfile.NamedTemporaryFile() as file:
        environment = dict(
            os.environ, PEER_BROKER=broker, PEER_CONFIGURATION=configuration, PEER_MARKS=file.name
        )
        words = ["-m", "celery", "-A", "celery_peer", "worker", "--pool", pool, "--concurrency", "8"]
        words += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"]
        if pool == "prefork":
            words[words.index("8")] = "2"
        workers = [
            subprocess.Popen(
                [sys.executable, *words, "--hostname", f"peer{n}@localhost"],
                env=environment,
                cwd=os.path.dirname(os.path.abspath(__file__)),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            for n in range(WORKERS)
        ]
        try:
            return watch(file.name, tasks)
        finally:
            for worker in workers:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


def watch(path, tasks):
    end = time.monotonic() + PATIENCE
    first = began = 0
    while time.monotonic() < end:
        done, now = os.path.getsize(path), time.monotonic()
        if done and not began:
            began, first = now, done
        if done >= tasks:
            return (done - first) / (now - began)
        time.sleep(0.005)
    raise SystemExit(f"celery: {os.path.getsize(path)} of {tasks} tasks within {PATIENCE} s")


if __name__ == "__main__":
    count = int(sys.argv[3])
    with app.connection_for_write() as connection:
        bound = app.conf.task_queues[0].bind(connection.channel())
        bound.declare()
        bound.purge()
    print(json.dumps({"enqueue": enqueue(count), "process": process(count)}))
