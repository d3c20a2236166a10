size=$(curl -fsS --max-time 30 -H 'Accept: application/json' http://mirror.example:8000/v2/library/llama3.2/manifests/3b | python3 -c 'import json, sys; print(sum(layer["size"] for layer in json.load(sys.stdin)["layers"]))') || { echo 'the registry http://mirror.example:8000 has no model llama3.2:3b, or cannot be reached'; exit 1; }
[ $((size / 1048576 + 798)) -le 4137 ] || { echo "llama3.2:3b: $((size / 1048576)) MiB + 798 context and overhead do not fit into Ollama's share of this host, 4137 MiB"; exit 1; }
free=$(df --output=avail -B1 /var/lib/ollama/models | tail -n 1)
[ "$free" -gt $((size + size / 10)) ] || { echo "llama3.2:3b needs $((size * 11 / 10 / 1048576)) MiB, and /var/lib/ollama has $((free / 1048576))"; exit 1; }
python3 "$DATA" http://127.0.0.1:11434 mirror.example:8000/library/llama3.2:3b insecure
curl --noproxy '*' -fsS http://127.0.0.1:11434/api/copy -d '{"source": "mirror.example:8000/library/llama3.2:3b", "destination": "llama3.2:3b"}'
curl --noproxy '*' -fsS -X DELETE http://127.0.0.1:11434/api/delete -d '{"model": "mirror.example:8000/library/llama3.2:3b"}' || true
curl --noproxy '*' -fsS --max-time 10 http://127.0.0.1:11434/api/tags | grep -E -q '"name": *"llama3\.2:3b"[^}]*"digest": *"(sha256:)?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' || { curl --noproxy '*' -fsS -X DELETE http://127.0.0.1:11434/api/delete -d '{"model": "llama3.2:3b"}' || true; echo 'the registry now has another llama3.2:3b than the one pinned in ollama_digests; removed'; exit 1; }
