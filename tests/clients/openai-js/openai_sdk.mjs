// What OpenAI's own library for JavaScript makes of a server: `node openai_sdk.mjs URL RECORDING VOICE`.
// Prints one JSON object: for each request, what came back.

import { createReadStream, readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";
import { VERSION } from "openai/version";

const [url, recording, voice] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });

const ask = (fields) =>
  client.audio.transcriptions.create({ file: createReadStream(recording), model: "whisper-1", ...fields });

const stream = async (fields) => {
  const events = [];
  for await (const event of await ask({ model: "gpt-4o-transcribe", stream: true, ...fields })) {
    events.push(event);
  }
  return events;
};

const fails = async (answer) => {
  try {
    return await answer;
  } catch (error) {
    return { status: error.status, body: error.error, class: error.constructor.name };
  }
};

const known = {
  known_speaker_names: ["agent"],
  known_speaker_references: [`data:audio/wav;base64,${readFileSync(voice).toString("base64")}`],
};

const told = {
  version: VERSION,
  plain: await ask(),
  json: await ask({ response_format: "json" }),
  text: await ask({ response_format: "text" }),
  srt: await ask({ response_format: "srt" }),
  vtt: await ask({ response_format: "vtt" }),
  verbose: await ask({
    response_format: "verbose_json",
    timestamp_granularities: ["word", "segment"],
    language: "en",
    prompt: "A telephone call.",
    temperature: 0,
  }),
  diarized: await ask({
    model: "gpt-4o-transcribe-diarize",
    response_format: "diarized_json",
    chunking_strategy: "auto",
    ...known,
  }),
  logprobs: await ask({
    response_format: "json",
    include: ["logprobs"],
    chunking_strategy: { type: "server_vad", threshold: 0.4, prefix_padding_ms: 200 },
  }),
  candidates: await ask({ model: "base", languages: ["en", "de"], keywords: ["Diane", "Sheila"] }),
  stream: await stream({ response_format: "json" }),
  stream_logprobs: await stream({ response_format: "json", include: ["logprobs"] }),
  stream_diarized: await stream({ response_format: "diarized_json", ...known }),
  models: await client.models.list().then((page) => ({ object: page.object, data: page.data })),
  model: await client.models.retrieve("whisper-1"),
  translated: await client.audio.translations.create({ file: createReadStream(recording), model: "base" }),
  untranslated: await fails(
    client.audio.translations.create({ file: createReadStream(recording), model: "tiny.en" }),
  ),
  unknown_model: await fails(ask({ model: "large-v9" })),
  wrong_format: await fails(ask({ response_format: "xml" })),
  wrong_vad: await fails(ask({ chunking_strategy: { type: "semantic_vad" } })),
  no_recording: await fails(ask({ file: await toFile(Buffer.from("this is no recording"), "talk.wav") })),
  empty: await fails(ask({ file: await toFile(Buffer.alloc(0), "talk.wav") })),
};
console.log(JSON.stringify(told));
