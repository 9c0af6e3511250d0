"""Every error that a caller may see, with the code and the status that it is told by.

    WhisperdError                      500 internal_error
    ├── ConfigError                    the configuration can't be used (exit status 78)
    ├── StartError                     the daemon can't do its work on this machine (exit status 78 or 1)
    ├── ModelFilesError                500 model_files_error: a model can't be fetched, written or read
    ├── RequestError                   400 invalid_request: the caller can mend it
    │   ├── ParameterError             400 invalid_parameter
    │   │   └── MissingParameter       400 missing_parameter
    │   ├── MissingFile                400 missing_file
    │   ├── UnknownModel               404 model_not_found
    │   ├── UnknownRoute               404 not_found
    │   ├── MethodNotAllowed           405 method_not_allowed
    │   ├── UploadTimeout              408 upload_timeout
    │   ├── TooLarge                   413 file_too_large
    │   ├── UrlRefused                 403 url_refused: an address that this server does not fetch from
    │   ├── UrlNotFound                404 url_not_found: nothing is there, or it is given to nobody
    │   ├── InvalidId                  400 invalid_id_format: no UUID
    │   ├── UnknownJob                 404 job_not_found: none, or somebody else's
    │   ├── NoResult                   409 no_result: the job has none, or none yet
    │   ├── NotCancellable             400 job_not_cancellable: the job has ended
    │   ├── IdempotencyKeyReused       409 idempotency_key_reused: for another request than the first
    │   ├── Unauthorized               401 authentication_error: no key
    │   │   └── InvalidKey             401 invalid_api_key: unknown, revoked or expired
    │   ├── Forbidden                  403 authorization_error: the key's permissions, or the address
    │   ├── RateLimited                429 rate_limit_exceeded
    │   └── MediaError                 400 invalid_audio
    │       ├── EmptyFile              400 empty_file
    │       └── TooLong                413 audio_too_long
    ├── Unavailable                    503 unavailable: the caller can try again
    │   ├── NotReady                   503 not_ready
    │   ├── Draining                   503 shutting_down
    │   ├── NotEnoughMemory            503 not_enough_memory
    │   └── QueueFull                  503 queue_full
    ├── UpstreamFailed                 503 llm_service_error: the language model's server
    ├── FetchFailed                    424 fetch_failed: another server did not give, or take, a recording
    ├── DeadlineExceeded               504 deadline_exceeded
    └── EngineError                    500 engine_error: a worker could not do it
        ├── WorkerDied                 500 worker_died
        │   └── DeviceLost             503 device_lost
        ├── WorkerHung                 500 worker_hung
        ├── ServerDied                 500 server_died: of a job alone, at whose recording the daemon ended
        └── OutOfMemory                503 out_of_memory

An error's message says what was wrong and what is allowed, and never holds a path of the server or
another caller's data: it is sent as it stands.
"""

from typing import ClassVar


class WhisperdError(Exception):
    """The root: carries what a dialect needs to render it."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retry_after_s: int | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        # It may repeat what callers sent, and aiohttp keeps bytes that are no UTF-8 as lone surrogates, which
        # no answer can hold.
        self.message = message.encode(errors="replace").decode()


class ConfigError(WhisperdError):
    """The configuration can't be used; the message lists every mistake, a line each."""

    code = "invalid_configuration"
    exit_code = 78


class StartError(WhisperdError):
    """This machine lacks something without which no job can run; starting again won't help."""

    code = "cannot_start"
    exit_code = 78


class ModelFilesError(WhisperdError):
    """A model's files can't be fetched, written, read or trusted. For the command line: it names paths."""

    code = "model_files_error"


class RequestError(WhisperdError):
    """The caller asked for something that can't be given; `param` is the field that said so."""

    code = "invalid_request"
    status = 400

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ParameterError(RequestError):
    """A parameter's value is not one of those allowed."""

    code = "invalid_parameter"


class MissingParameter(ParameterError):
    """A parameter that must be sent was not."""

    code = "missing_parameter"


class MissingFile(RequestError):
    """No recording in the request."""

    code = "missing_file"


class UnknownModel(RequestError):
    """A model that this server does not serve."""

    code = "model_not_found"
    status = 404


class UnknownRoute(RequestError):
    """Nothing is served at this path."""

    code = "not_found"
    status = 404


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    status = 405


class UploadTimeout(RequestError):
    """The upload stopped coming."""

    code = "upload_timeout"
    status = 408


class TooLarge(RequestError):
    """The upload is larger than the configured limit."""

    code = "file_too_large"
    status = 413


class UrlRefused(RequestError):
    """A URL that this server may not or can not use: its scheme, or where it leads."""

    code = "url_refused"
    status = 403


class UrlNotFound(RequestError):
    """The URL's own server says that there is nothing, or nothing for us."""

    code = "url_not_found"
    status = 404


class InvalidId(RequestError):
    """What stands where a job's id should is no UUID."""

    code = "invalid_id_format"


class UnknownJob(RequestError):
    """No such job, or not this owner's."""

    code = "job_not_found"
    status = 404


class NoResult(RequestError):
    """The job has not ended, has failed, or was not asked for this; `retry_after_s` where it may come yet."""

    code = "no_result"
    status = 409

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message, param=param)
        self.retry_after_s = retry_after_s


class NotCancellable(RequestError):
    """The job has ended already."""

    code = "job_not_cancellable"


class IdempotencyKeyReused(RequestError):
    """The key came before, with a request that asked for something else."""

    code = "idempotency_key_reused"
    status = 409


class Unauthorized(RequestError):
    """A key is needed, and none was sent."""

    code = "authentication_error"
    status = 401


class InvalidKey(Unauthorized):
    """The key can't be used; for every reason the same words, so that nobody learns which."""

    code = "invalid_api_key"


class Forbidden(RequestError):
    """Known, but not allowed to."""

    code = "authorization_error"
    status = 403


class RateLimited(RequestError):
    """More requests than the key may send; the next may come after `retry_after_s`."""

    code = "rate_limit_exceeded"
    status = 429

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int = 60) -> None:
        super().__init__(message, param=param)
        self.retry_after_s = retry_after_s


class MediaError(RequestError):
    """The bytes are not a recording that can be decoded."""

    code = "invalid_audio"


class EmptyFile(MediaError):
    """The upload has no bytes."""

    code = "empty_file"


class TooLong(MediaError):
    """The recording lasts longer than the configured limit."""

    code = "audio_too_long"
    status = 413


class Unavailable(WhisperdError):
    """Not now: the same request may succeed after `retry_after_s` seconds."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReady(Unavailable):
    """Models are still loading, or a worker is being restarted."""

    code = "not_ready"


class Draining(Unavailable):
    """The daemon is stopping and takes no new work."""

    code = "shutting_down"


class NotEnoughMemory(Unavailable):
    """A model that the request needs does not fit beside those in use now."""

    code = "not_enough_memory"


class QueueFull(Unavailable):
    """More requests wait than the configuration allows."""

    code = "queue_full"


class UpstreamFailed(WhisperdError):
    """The language model's server could not be reached, or failed."""

    code = "llm_service_error"
    status = 503
    retry_after_s = 5


class FetchFailed(WhisperdError):
    """The URL's own server could not be reached, broke off or failed; the same request may succeed later.

    The status says that what this request depended on failed; a 5xx would be a failure of ours.
    """

    code = "fetch_failed"
    status = 424


class DeadlineExceeded(WhisperdError):
    """The answer would have come after the request's deadline."""

    code = "deadline_exceeded"
    status = 504


class EngineError(WhisperdError):
    """A worker failed at this request."""

    code = "engine_error"


class WorkerDied(EngineError):
    """The worker's process ended while it held this request."""

    code = "worker_died"


class WorkerHung(EngineError):
    """The worker stopped answering and was killed."""

    code = "worker_hung"


class DeviceLost(WorkerDied):
    """The worker's card failed at everything, and the worker was started again."""

    code = "device_lost"
    status = 503
    retry_after_s = 30


class ServerDied(EngineError):
    """The daemon itself ended while it worked on this."""

    code = "server_died"


class OutOfMemory(EngineError):
    """The device's memory did not suffice."""

    code = "out_of_memory"
    status = 503
    retry_after_s = 10
