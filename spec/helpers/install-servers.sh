#!/bin/sh
# Installs the servers the specs use, where apt is there and may be used; the specs say what they had to skip.
# More may be named, in pairs: a file that tells whether it is there, and the Debian package that holds it.
set -u
missing=
add() { [ -e "$1" ] || missing="$missing $2"; }
add /usr/sbin/sshd openssh-server
add /usr/bin/ssh-keygen openssh-client
add /usr/sbin/apache2 apache2
add /usr/bin/htpasswd apache2-utils
add /usr/bin/openssl openssl
add /usr/sbin/proftpd proftpd-core
add /usr/lib/proftpd/mod_sftp.so proftpd-mod-crypto
add /usr/sbin/nginx nginx-light
add /usr/lib/nginx/modules/ngx_http_dav_ext_module.so libnginx-mod-http-dav-ext
add /usr/bin/rclone rclone
while [ $# -ge 2 ]; do
  add "$1" "$2"
  shift 2
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "not installed (apt and root are needed):$missing"
  exit 0
fi
echo "installing:$missing"
# The packages would start their services on the usual ports: the specs start their own, elsewhere.
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT; }
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of names
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 || echo "could not install:$missing"
