# The werify app's client with what Erlang brings: `elixir werify.exs URL RECORDING`.
# Prints a line for each request: its name, the status, the body.

defmodule Werify do
  @boundary "werify-boundary"

  def post_file(url, field, paths) do
    parts =
      for path <- paths do
        [
          "--", @boundary, "\r\n",
          "content-disposition: form-data; name=\"", field, "\"; filename=\"", Path.basename(path), "\"\r\n",
          "content-type: application/octet-stream\r\n\r\n",
          File.read!(path), "\r\n"
        ]
      end

    body = IO.iodata_to_binary([parts, "--", @boundary, "--\r\n"])
    post(url, "multipart/form-data; boundary=" <> @boundary, body)
  end

  def post(url, type, body) do
    request = {to_charlist(url), [], to_charlist(type), body}
    answer(:httpc.request(:post, request, [timeout: 300_000], body_format: :binary))
  end

  def get(url), do: answer(:httpc.request(:get, {to_charlist(url), []}, [], body_format: :binary))

  defp answer({:ok, {{_version, status, _reason}, _headers, body}}), do: "#{status} #{body}"
end

{:ok, _} = Application.ensure_all_started(:inets)
[url, recording] = System.argv()

IO.puts("health " <> Werify.get(url <> "/health"))
IO.puts("plain " <> Werify.post_file(url <> "/transcribe", "file", [recording]))
IO.puts("segments " <> Werify.post_file(url <> "/transcribe?language=en&include_segments=true", "file", [recording]))
IO.puts("batch " <> Werify.post_file(url <> "/transcribe/batch", "files", [recording, recording]))
IO.puts("no-file " <> Werify.post(url <> "/transcribe/url", "application/json", "{}"))
IO.puts("queue " <> Werify.get(url <> "/queue/status"))
