"""Types of the part of yadnp3 3.2.1.4 that we use; the wheel ships none."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

class _Enum:
    value: int
    name: str
    def __init__(self, value: int) -> None: ...

class ChannelState(_Enum):
    CLOSED: ClassVar[ChannelState]
    OPENING: ClassVar[ChannelState]
    OPEN: ClassVar[ChannelState]
    SHUTDOWN: ClassVar[ChannelState]

class CommandPointState(_Enum):
    SUCCESS: ClassVar[CommandPointState]

class CommandStatus(_Enum):
    SUCCESS: ClassVar[CommandStatus]

class DeviceAttrType(_Enum):
    VISIBLE_STRING: ClassVar[DeviceAttrType]
    UNSIGNED_INT: ClassVar[DeviceAttrType]
    SIGNED_INT: ClassVar[DeviceAttrType]
    FLOATING_POINT: ClassVar[DeviceAttrType]
    DNP3_TIME: ClassVar[DeviceAttrType]

class DoubleBit(_Enum): ...

class EventMode(_Enum):
    Force: ClassVar[EventMode]

class FunctionCode(_Enum):
    DELAY_MEASURE: ClassVar[FunctionCode]
    DISABLE_UNSOLICITED: ClassVar[FunctionCode]
    ENABLE_UNSOLICITED: ClassVar[FunctionCode]
    RECORD_CURRENT_TIME: ClassVar[FunctionCode]
    WRITE: ClassVar[FunctionCode]

class GroupVariation(_Enum): ...

class MasterTaskType(_Enum):
    STARTUP_INTEGRITY_POLL: ClassVar[MasterTaskType]
    DISABLE_UNSOLICITED: ClassVar[MasterTaskType]
    ENABLE_UNSOLICITED: ClassVar[MasterTaskType]
    USER_TASK: ClassVar[MasterTaskType]

class OperationType(_Enum):
    PULSE_ON: ClassVar[OperationType]
    PULSE_OFF: ClassVar[OperationType]
    LATCH_ON: ClassVar[OperationType]
    LATCH_OFF: ClassVar[OperationType]

class ServerAcceptMode(_Enum):
    CloseExisting: ClassVar[ServerAcceptMode]

class TaskCompletion(_Enum):
    SUCCESS: ClassVar[TaskCompletion]
    FAILURE_BAD_RESPONSE: ClassVar[TaskCompletion]
    FAILURE_START_TIMEOUT: ClassVar[TaskCompletion]
    FAILURE_NO_COMMS: ClassVar[TaskCompletion]

class TimeSyncMode(_Enum):
    NonLAN: ClassVar[TimeSyncMode]
    LAN: ClassVar[TimeSyncMode]

class TimestampQuality(_Enum):
    INVALID: ClassVar[TimestampQuality]
    SYNCHRONIZED: ClassVar[TimestampQuality]
    UNSYNCHRONIZED: ClassVar[TimestampQuality]

class TripCloseCode(_Enum):
    NUL: ClassVar[TripCloseCode]
    CLOSE: ClassVar[TripCloseCode]
    TRIP: ClassVar[TripCloseCode]

class Flags:
    value: int
    def __init__(self, value: int = ...) -> None: ...

class DNPTime:
    value: int
    quality: TimestampQuality
    def __init__(self, value: int = ..., quality: TimestampQuality = ...) -> None: ...

class UTCTimestamp:
    msSinceEpoch: int
    def __init__(self, msSinceEpoch: int) -> None: ...

class TimeDuration:
    @staticmethod
    def Milliseconds(ms: int) -> TimeDuration: ...

class _Measurement:
    value: Any
    flags: Flags
    time: DNPTime
    def __init__(self, value: Any = ..., flags: Flags = ..., time: DNPTime = ...) -> None: ...

class Analog(_Measurement): ...
class Binary(_Measurement): ...
class Counter(_Measurement): ...
class DoubleBitBinary(_Measurement): ...
class AnalogOutputStatus(_Measurement): ...
class BinaryOutputStatus(_Measurement): ...

class OctetString(_Measurement):
    def __init__(self, input: str = ...) -> None: ...
    def ToBytes(self) -> bytes: ...

class Indexed:
    """Indexed<T>: a measurement or an octet string, with its index."""

    value: Any
    index: int

class HeaderInfo:
    gv: GroupVariation
    tsquality: TimestampQuality
    isEventVariation: bool
    flagsValid: bool

class ResponseInfo:
    unsolicited: bool
    fir: bool
    fin: bool

class IINField:
    LSB: int
    MSB: int

class TaskId: ...

class TaskInfo:
    type: MasterTaskType
    result: TaskCompletion

class DeviceAttributeValue:
    type: DeviceAttrType
    stringValue: str
    unsignedValue: int
    signedValue: int
    floatValue: float
    timeValue: int
    rawValue: Sequence[int]

class LogLevel:
    value: int

class LogLevels:
    def __init__(self, levels: int) -> None: ...
    @staticmethod
    def none() -> LogLevels: ...

class flags:
    ERR: ClassVar[LogLevel]
    WARN: ClassVar[LogLevel]

class ILogHandler:
    def __init__(self) -> None: ...

class IChannelListener:
    def __init__(self) -> None: ...

class ISOEHandler:
    def __init__(self) -> None: ...

class IMasterApplication:
    def __init__(self) -> None: ...

class ICommandHandler:
    def __init__(self) -> None: ...

class IOutstationApplication:
    def __init__(self) -> None: ...

class ApplicationIIN:
    def __init__(self) -> None: ...

class IPEndpoint:
    def __init__(self, address: str, port: int) -> None: ...

class ChannelRetry:
    reconnectDelay: TimeDuration
    def __init__(self, minOpenRetry: TimeDuration, maxOpenRetry: TimeDuration) -> None: ...

class ClassField:
    def __init__(
        self, class0: bool = ..., class1: bool = ..., class2: bool = ..., class3: bool = ...
    ) -> None: ...

class Header:
    @staticmethod
    def AllObjects(group: int, variation: int) -> Header: ...
    @staticmethod
    def Range8(group: int, variation: int, start: int, stop: int) -> Header: ...
    @staticmethod
    def Range16(group: int, variation: int, start: int, stop: int) -> Header: ...
    @staticmethod
    def Count16(group: int, variation: int, count: int) -> Header: ...
    @staticmethod
    def Raw(data: bytes) -> Header: ...

class MasterParams:
    responseTimeout: TimeDuration
    timeSyncMode: TimeSyncMode
    disableUnsolOnStartup: bool
    ignoreRestartIIN: bool
    integrityOnEventOverflowIIN: bool
    taskRetryPeriod: TimeDuration
    maxTaskRetryPeriod: TimeDuration
    taskStartTimeout: TimeDuration

class LinkConfig:
    LocalAddr: int
    RemoteAddr: int
    Timeout: TimeDuration
    KeepAliveTimeout: TimeDuration

class MasterStackConfig:
    master: MasterParams
    link: LinkConfig
    def __init__(self) -> None: ...

class AnalogOutputInt16:
    value: int
    def __init__(self, value: int) -> None: ...

class AnalogOutputInt32:
    value: int
    def __init__(self, value: int) -> None: ...

class AnalogOutputFloat32:
    value: float
    def __init__(self, value: float) -> None: ...

class AnalogOutputDouble64:
    value: float
    def __init__(self, value: float) -> None: ...

class ControlRelayOutputBlock:
    opType: OperationType
    def __init__(
        self,
        opType: OperationType = ...,
        tcc: TripCloseCode = ...,
        clear: bool = ...,
        count: int = ...,
        onTime: int = ...,
        offTime: int = ...,
    ) -> None: ...

class CommandPointResult:
    index: int
    state: CommandPointState
    status: CommandStatus

class ICommandTaskResult:
    summary: TaskCompletion
    def to_list(self) -> list[CommandPointResult]: ...

_Command = (
    AnalogOutputInt16
    | AnalogOutputInt32
    | AnalogOutputFloat32
    | AnalogOutputDouble64
    | ControlRelayOutputBlock
)

class IMaster:
    def Enable(self) -> bool: ...
    def Disable(self) -> bool: ...
    def Scan(self, headers: Sequence[Header], soe_handler: ISOEHandler) -> None: ...
    def ScanClasses(self, field: ClassField, soe_handler: ISOEHandler) -> None: ...
    def PerformFunction(self, name: str, func: FunctionCode, headers: Sequence[Header]) -> None: ...
    def CheckLinkStatus(self, callback: Callable[[bool], None]) -> None: ...
    def SelectAndOperate(
        self, command: Any, index: int, callback: Callable[[ICommandTaskResult], None]
    ) -> None: ...
    def DirectOperate(
        self, command: Any, index: int, callback: Callable[[ICommandTaskResult], None]
    ) -> None: ...

class EventBufferConfig:
    @staticmethod
    def AllTypes(sizes: int) -> EventBufferConfig: ...

class DatabaseConfig:
    def __init__(self, all_types: int) -> None: ...

class OutstationParams:
    allowUnsolicited: bool
    unsolConfirmTimeout: TimeDuration
    solConfirmTimeout: TimeDuration

class OutstationConfig:
    params: OutstationParams
    eventBufferConfig: EventBufferConfig

class OutstationStackConfig:
    outstation: OutstationConfig
    link: LinkConfig
    def __init__(self, database: DatabaseConfig) -> None: ...

class Updates: ...

class UpdateBuilder:
    def __init__(self) -> None: ...
    def Update(self, meas: _Measurement, index: int, mode: EventMode = ...) -> bool: ...
    def Build(self) -> Updates: ...

class IOutstation:
    def Enable(self) -> bool: ...
    def Apply(self, updates: Updates) -> None: ...
    def SetRestartIIN(self) -> None: ...

class IChannel:
    def AddMaster(
        self,
        id: str,
        SOEHandler: ISOEHandler,
        application: IMasterApplication,
        config: MasterStackConfig,
    ) -> IMaster: ...
    def AddOutstation(
        self,
        id: str,
        commandHandler: ICommandHandler,
        application: IOutstationApplication,
        config: OutstationStackConfig,
    ) -> IOutstation: ...
    def Shutdown(self) -> None: ...

class DNP3Manager:
    def __init__(self, concurrencyHint: int, handler: ILogHandler = ...) -> None: ...
    def AddTCPClient(
        self,
        id: str,
        levels: LogLevels,
        retry: ChannelRetry,
        hosts: Sequence[IPEndpoint],
        local: str,
        listener: IChannelListener,
    ) -> IChannel: ...
    def AddTCPServer(
        self,
        id: str,
        levels: LogLevels,
        mode: ServerAcceptMode,
        endpoint: IPEndpoint,
        listener: IChannelListener,
    ) -> IChannel: ...
    def Shutdown(self) -> None: ...
