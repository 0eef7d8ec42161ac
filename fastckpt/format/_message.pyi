from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer, disjoint_base

INT: Final[int]
BOOL: Final[int]
FLOAT: Final[int]
DOUBLE: Final[int]
TEXT: Final[int]
BYTES: Final[int]
SPAN: Final[int]

@disjoint_base
class SchemaRow:
    def __init__(self, number: int, name: str, kind: Any) -> None: ...

@disjoint_base
class Message:
    def __init__(
        self,
        name: str,
        fields: Mapping[int, tuple[str, Any]] | None = None,
        *,
        is_oneof: bool = False,
    ) -> None: ...
    @property
    def name(self) -> str: ...
    def define(self, fields: Mapping[int, tuple[str, Any]]) -> None: ...

def decode(
    message: Message,
    data: Buffer,
    path: str,
    what: str,
    start: int = 0,
    end: int | None = None,
) -> dict[str, Any]: ...
def hash_field(
    number: int, data: Buffer, spans: npt.NDArray[np.int64], path: str, what: str
) -> npt.NDArray[np.int64]: ...
