# Ends what the demo cannot end itself, because it was killed.
#
#   sh guard.sh DIRECTORY
#
# Each line on standard input is the daemon's pid, or empty while there is none.
# The end of the input means that the demo is gone, however it went (the kernel
# closes the pipe of a killed process, too).

trap '' HUP
daemon=
while read -r pid; do
    daemon=$pid
done
if [ "$daemon" ]; then
    kill -KILL "$daemon"
fi
rm -rf "$1"
