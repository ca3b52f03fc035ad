#!/bin/sh
# Prepares /mosquitto/auth before Mosquitto starts: the airlift servers' password, and the TLS
# certificate in files that Mosquitto's user may read. Gateways' passwords stay as they are.
set -eu
umask 077

: "${MQTT_PASSWORD:?is not set}"
auth=/mosquitto/auth
# The user `mosquitto` of the image.
owner=1883:1883

touch "$auth/passwords"
mosquitto_passwd -b "$auth/passwords" airlift "$MQTT_PASSWORD"
cp /tls/fullchain.pem /tls/privkey.pem "$auth/"
chown -R "$owner" "$auth"
