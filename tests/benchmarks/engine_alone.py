"""faster-whisper without the daemon, in a process of its own: what the daemon's latency is measured against.

    python engine_alone.py MODEL_DIRECTORY CONCURRENCY

For each path on its standard input it prints the seconds of decoding and those of transcribing.
"""

import sys
import time

from faster_whisper import WhisperModel, decode_audio


def main() -> None:
    """Answer until the input ends."""
    directory, concurrency = sys.argv[1:]
    # The options of whisperd's own engine, see whisperd/engine/transcribe.py.
    model = WhisperModel(
        directory,
        device="cpu",
        compute_type="int8",
        cpu_threads=1,
        num_workers=int(concurrency),
        local_files_only=True,
    )
    for line in sys.stdin:
        started = time.perf_counter()
        audio = decode_audio(line.strip())
        decoded = time.perf_counter()
        segments, _ = model.transcribe(audio, beam_size=5, vad_filter=True)
        list(segments)
        print(decoded - started, time.perf_counter() - decoded, flush=True)


main()
