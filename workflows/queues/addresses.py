"""Addresses of queues: by name, URL or ARN, of this account or another one.

What is given is read, and never called: the URL is made of the one of the built-in queue, so that
no request goes to a host that somebody wrote into a registration.
"""

import re
from dataclasses import dataclass, replace

from workflows.queues.queue import Queue
from workflows.runtime.settings import settings

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
_NAME = r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo"
_ARN = re.compile(rf"arn:([a-z-]+):sqs:([a-z0-9-]+):([0-9]{{12}}):({_NAME})")
_URL = re.compile(rf"https?://([A-Za-z0-9.:-]+)/([0-9]{{12}})/({_NAME})")
# Of a host: `sqs.eu-west-1.amazonaws.com`, and the older `eu-west-1.queue.amazonaws.com`.
_REGION = re.compile(r"(?:^|\.)sqs\.([a-z0-9-]+)\.|^([a-z0-9-]+)\.queue\.")


@dataclass(frozen=True)
class Address:
    """Where a queue is."""

    arn: str
    url: str

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue: SQS wants their names to end so, and no other ones."""
        return self.arn.endswith(".fifo")


def read(text: str) -> Address:
    """Return where a queue is that is given by name, URL or ARN.

    Raises:
        ValueError: it is none of them, or is in another region, where no run can reach it.
    """
    partition, own_region, own_account = _home()
    region = own_region
    if found := _ARN.fullmatch(text):
        partition, region, account, name = found.groups()
    elif found := _URL.fullmatch(text):
        host, account, name = found.groups()
        told = _REGION.search(host)
        region = (told[1] or told[2]) if told else own_region
    elif re.fullmatch(_NAME, text):
        account, name = own_account, text
    else:
        raise ValueError("is no name, URL or ARN of an SQS queue")
    if (partition, region) != _home()[:2]:
        raise ValueError(f"is in {region}; a run reaches queues of {own_region} only")
    base = settings().dead_letter_queue_url.rsplit("/", 2)[0]
    return Address(f"arn:{partition}:sqs:{region}:{account}:{name}", f"{base}/{account}/{name}")


def check(text: str) -> str:
    """Return an address as it was given, if it is one.

    Raises:
        ValueError: as `read`.
    """
    read(text)
    return text


def whole(queue: Queue) -> Queue:
    """Return a queue with the ARNs that its URLs tell, if it has none."""
    if queue.source_arn and queue.dead_letter_arn:
        return queue
    return replace(
        queue,
        source_arn=read(queue.source_url).arn,
        dead_letter_arn=read(queue.dead_letter_url).arn,
    )


def _home() -> tuple[str, str, str]:
    """Return partition, region and account of this stack."""
    _, partition, _, region, account, *_ = settings().redrive_state_machine_arn.split(":")
    return partition, region, account
