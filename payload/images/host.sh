#!/bin/sh
# Sourced by the steps of a build: the host's sources, proxies, authorities and logins, for as long as the step takes.
# shellcheck disable=SC1091 # the file is the host's
tar -xzf /run/secrets/host -C /host
. /host/environment
export HOME=/host/home
export SSL_CERT_FILE=/host/ca.crt PIP_CERT=/host/ca.crt REQUESTS_CA_BUNDLE=/host/ca.crt NODE_EXTRA_CA_CERTS=/host/ca.crt
export CURL_CA_BUNDLE=/host/ca.crt
[ ! -f /host/pip.conf ] || export PIP_CONFIG_FILE=/host/pip.conf
[ ! -f /host/uv.toml ] || export UV_CONFIG_FILE=/host/uv.toml
# What is downloaded is for this one step; the cache would be as large as what is installed.
export UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1 npm_config_cache=/tmp/npm
export APT_CONFIG=/host/apt.conf DEBIAN_FRONTEND=noninteractive
printf '%s\n' 'Dir::Etc "/host/apt/";' 'Acquire::https::CAInfo "/host/ca.crt";' >/host/apt.conf
