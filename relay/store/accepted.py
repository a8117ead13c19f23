"""What one `250` stands for: a message, its deliveries and its content, kept together or not at all."""

from dataclasses import dataclass

from relay.delivery import Delivery
from relay.envelope import Message


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message as handed to the store; `content` is what is kept, our Received line included."""

    message: Message
    deliveries: tuple[Delivery, ...]
    content: bytes
