# Managed by Portcullis from templates/ollama/install.sh.j2; edits are overwritten by the next run.
# A complete folder may be the one in use; its name has the checksum, so there is nothing to renew in it.
if [ ! -x /opt/ollama/0.35.1-9fcd79ac/bin/ollama ] || [ ! -x /opt/ollama/0.35.1-9fcd79ac/lib/ollama/llama-server ]; then
archive=/opt/ollama/download-0.35.1.tar.zst new=/opt/ollama/0.35.1-9fcd79ac.part url=https://github.com/ollama/ollama/releases/download/v0.35.1/ollama-linux-amd64.tar.zst
mkdir -p /opt/ollama
rm -rf "$new"
need=4000000
free=$(df --output=avail -k /opt/ollama | tail -n 1)
[ "$free" -gt $need ] || { echo "/opt/ollama has $((free / 1024)) MiB free; unpacking needs $((need / 1024)) MiB"; exit 1; }
# One that no longer gets on is given up: it would hold up every later run.
limits="--connect-timeout 15 --speed-limit 1024 --speed-time 60"
curl -fL $limits --retry 5 --retry-delay 2 --retry-connrefused -C - --progress-bar -o "$archive" "$url" || {
    rm -f "$archive"
    curl -fL $limits --retry 3 --progress-bar -o "$archive" "$url"
}
found=$(sha256sum "$archive" | cut -d ' ' -f 1)
if [ "$found" != 9fcd79ac4575b2bd31b992eee18b1000c8ad126b451627c8f8cd091714cfbb10 ]; then
    rm -f "$archive"
    echo "the archive's SHA-256 is $found, and ollama_sha256 says 9fcd79ac4575b2bd31b992eee18b1000c8ad126b451627c8f8cd091714cfbb10: nothing was unpacked"
    exit 1
fi
mkdir "$new"
# The parts for graphics cards are 2 GB that a CPU never reads.
tar --zstd -xf "$archive" -C "$new" --no-same-owner --exclude='lib/ollama/cuda_*' --exclude='lib/ollama/vulkan*'
[ -x "$new/bin/ollama" ] && [ -x "$new/lib/ollama/llama-server" ] || { echo "the archive has no bin/ollama with lib/ollama/llama-server"; exit 1; }
chown -R root:root "$new"
rm -rf /opt/ollama/0.35.1-9fcd79ac
mv -T "$new" /opt/ollama/0.35.1-9fcd79ac
rm -f "$archive"
fi
