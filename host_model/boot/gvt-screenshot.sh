#!/bin/sh
# gvt-screenshot [NAME]: the host keeps a picture of this guest's screen, as it is before the next command runs.
#
# The wish goes into the kernel's log, as all that init says; the answer comes in by the second serial port.

if [ -z "$HOST_MODEL_SCREENSHOT" ]; then
    echo "gvt-screenshot: the host keeps no pictures: boot with --screenshot DIR" >&2
    exit 1
fi
until mkdir /run/gvt-screenshot 2>/dev/null; do # one at a time
    sleep 0.1
done
trap 'rmdir /run/gvt-screenshot' EXIT
exec 3</dev/ttyS1
stty -F /dev/ttyS1 -echo
# What was drawn through the aperture is on its way: a read of the device waits for all writes before it.
head -c 4 /dev/fb0 >/dev/null 2>&1
read -r uptime idle </proc/uptime
echo "host-model: $uptime screenshot $1" >/dev/kmsg
if ! read -r -t 20 answer <&3; then
    answer="the host does not answer"
fi
[ "$answer" = kept ] && exit 0
echo "gvt-screenshot: $answer" >&2
exit 1
