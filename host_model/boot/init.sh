#!/bin/sh
# The guest's first process: loads the driver under test, says what came of it, powers off.
#
# What it says for the host goes to /dev/kmsg, one record for each line, so that it stands at the
# right place of the kernel's log and no kernel message can cut it in two:
#     host-model: UPTIME KIND REST
# What the --post script prints goes to the second serial port and never mixes with the log.

/bin/busybox mkdir -p /proc /sys /dev /run /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null

say() {
    read -r uptime idle </proc/uptime
    echo "host-model: $uptime $*" >/dev/kmsg
}

load() {
    while read -r file arguments; do
        set -f
        # shellcheck disable=SC2086  # the arguments are words
        insmod "$file" $arguments 2>/tmp/why || say failed "$(cat /tmp/why)"
        set +f
    done <"$1"
}

say stage init "$(uname -r)"
dmesg -n 8 # the driver's debug messages too, as far as drm.debug asks for them

say stage modules
load /etc/host-model/dependencies
say stage probe
load /etc/host-model/driver
say stage probed

# The driver looks for monitors in the background; wait until it knows, but not for ever.
tries=0
while grep -q unknown /sys/class/drm/card*-*/status 2>/dev/null && [ $tries -lt 30 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
for node in /dev/dri/*; do
    [ -c "$node" ] && say node "${node#/dev/dri/}"
done
for connector in /sys/class/drm/card*-*; do
    [ -r "$connector/status" ] || continue
    name=${connector##*/}
    say connector "${name#card*-}" "$(cat "$connector/status")"
done

# Where a monitor is, the driver lights it and puts the console on it, soon after it is loaded.
lit() {
    [ -r /sys/class/graphics/fb0/name ] && grep -q '^enabled' $(printf '%s/enabled\n' $monitors)
}
monitors=$(grep -l '^connected' /sys/class/drm/card*-*/status 2>/dev/null)
monitors=$(printf '%s\n' "$monitors" | sed 's,/status$,,')
if [ -n "$monitors" ]; then
    tries=0
    until lit || [ $tries -ge 50 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    for monitor in $monitors; do
        name=${monitor##*/}
        # shellcheck disable=SC2046  # the modes are words
        say monitor "${name#card*-}" "$(cat "$monitor/enabled")" $(head -n 32 "$monitor/modes" | uniq)
    done
    if [ -r /sys/class/graphics/fb0/name ]; then
        console=none
        for console_driver in /sys/class/vtconsole/*; do
            grep -q 'frame buffer' "$console_driver/name" && grep -q 1 "$console_driver/bind" && console=console
        done
        read -r name </sys/class/graphics/fb0/name
        say framebuffer "$name" "$(tr , x </sys/class/graphics/fb0/virtual_size)" $console
    fi
fi

# The driver knows better than its log, which may pass over it.
say_wedged() {
    wedged=/sys/kernel/debug/dri/0/i915_wedged
    [ -r $wedged ] && say wedged "$(cat $wedged)"
}
say_wedged

if [ -r /etc/host-model/kvmgt.sh ]; then
    . /etc/host-model/kvmgt.sh
fi

if [ -x /post ]; then
    say stage post
    stty -F /dev/ttyS1 -opost -echo
    /post </dev/null >/dev/ttyS1 2>&1
    say post $?
    say_wedged
fi

[ -n "$HOST_MODEL_SCREENSHOT" ] && gvt-screenshot 2>/dev/null

say stage end
sync
poweroff -f
