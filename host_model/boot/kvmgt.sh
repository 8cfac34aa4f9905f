# Sourced by init when the machine is to share its GPU out: loads the kernel's own mediator and tries what it offers.
#
# What it says for the host:
#     kvmgt type NAME INSTANCES KEY: VALUE; KEY: VALUE …
#     kvmgt tracked NUMBER                    registers in the mediator's table
#     kvmgt created NAME                      once for each vGPU that could be made
#     kvmgt refused WHY                       the one too many
#     kvmgt diff TOTAL DIFFERENT              registers of the first vGPU beside those of the hardware
#     kvmgt left NAME INSTANCES               once every vGPU is removed again

say stage mediator
# The mediator reads every register as it loads, and does not wake a sleeping GPU up for that: this file, held open, does.
awake=/sys/kernel/debug/dri/0/i915_forcewake_user
[ -r $awake ] || awake=/dev/null
load /etc/host-model/mediator 9<$awake

types=/sys/bus/pci/devices/0000:00:02.0/mdev_supported_types
vgpus=/sys/bus/mdev/devices
debug=/sys/kernel/debug/dri/0/gvt

smallest=
least=
for type in "$types"/*; do
    [ -r "$type/available_instances" ] || continue
    name=$(cat "$type/name")
    instances=$(cat "$type/available_instances")
    description=$(sed ':more;N;$!bmore;s/\n/; /g' "$type/description")
    say kvmgt type "$name" "$instances" "$description"
    size=$(sed -n 's/^low_gm_size: \([0-9]*\)MB$/\1/p' "$type/description")
    if [ -n "$size" ] && { [ -z "$least" ] || [ "$size" -lt "$least" ]; }; then
        smallest=$type
        least=$size
    fi
done
[ -r $debug/num_tracked_mmio ] && say kvmgt tracked "$(cat $debug/num_tracked_mmio)"

# A driver that gave its GPU up has no address space for a vGPU's context: making one would be the end of the kernel.
wedged=/sys/kernel/debug/dri/0/i915_wedged
if [ -r $wedged ] && [ "$(cat $wedged)" != 0 ]; then
    say kvmgt refused the GPU is wedged
elif [ -n "$smallest" ]; then
    name=$(cat "$smallest/name")
    limit=$(cat "$smallest/available_instances")
    made=0
    while [ $made -le "$limit" ]; do
        number=$((made + 1))
        id=$(printf '00000000-0000-0000-0000-%012d' $number)
        if ! (echo "$id" >"$smallest/create") 2>/tmp/why; then
            say kvmgt refused "$(sed 's/.*: //' /tmp/why)"
            break
        fi
        made=$number
        say kvmgt created "$name"
    done
    for vgpu in $debug/vgpu*; do
        [ -r "$vgpu/mmio_diff" ] || continue
        say kvmgt diff "$(sed -n 's/^Total: \([0-9]*\), Diff: \([0-9]*\)$/\1 \2/p' "$vgpu/mmio_diff")"
        break
    done
    for vgpu in "$vgpus"/*; do
        [ -w "$vgpu/remove" ] && echo 1 >"$vgpu/remove"
    done
    for type in "$types"/*; do
        [ -r "$type/available_instances" ] && say kvmgt left "$(cat "$type/name")" "$(cat "$type/available_instances")"
    done
fi
say_wedged
