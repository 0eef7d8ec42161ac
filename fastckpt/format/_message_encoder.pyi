from collections.abc import Mapping
from typing import Any

from ._message import Message

def encode(message: Message, values: Mapping[str, Any]) -> bytes: ...
