 by Portcullis from templates/litellm/venv.sh.j2; edits are overwritten by the next run.
site=$(echo /opt/litellm/FOLDER/venv/lib/python3*/site-packages)
for file in "$site"/*.pth; do
    case ${file##*/} in
        _virtualenv.pth | distutils-precedence.pth | '*.pth') ;;
        *) echo "${file##*/} would run code in every Python of the environment; refused"; rm -rf /opt/litellm/FOLDER/venv; exit 1 ;;
    esac
done
/opt/litellm/FOLDER/venv/bin/python -c 'import prisma, prometheus_client, psycopg, opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http.trace_exporter'
