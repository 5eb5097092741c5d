# Runs one server for its owner, and ends it with the owner.
#
#   sh watchdog.sh DIRECTORY SIGNAL PROGRAM ARGUMENT...
#
# Each line on standard input is a port: the server is started with it as its
# last argument. The end of the input means that the owner is gone, however it
# went (the kernel closes the pipe of a killed process, too): the server gets
# SIGNAL and the directory is removed.
#
# In DIRECTORY: `pid` is the server's, `log` is what it prints, `ended` appears
# when it has ended.

directory=$1 signal=$2
shift 2
# Sent by the kernel when the owner dies while the server is frozen.
trap '' HUP
cd "$directory" || exit

while read -r port; do
    started=yes
    {
        sh -c 'echo $$ >pid.new && mv pid.new pid && exec "$@"' sh "$@" "$port" </dev/null >log 2>&1
        : >ended
    } &
done

# The owner may have gone before the server had told its pid.
while [ "$started" ] && [ ! -e pid ] && [ ! -e ended ]; do
    sleep 0.01
done
if [ "$started" ] && [ ! -e ended ]; then
    server=$(cat pid)
    # A frozen process hears no signal but these two.
    kill -CONT "$server" $(cat "/proc/$server/task/$server/children")
    kill "-$signal" "$server"
fi
wait

# A Postgres that was killed leaves its System V segment behind, and a machine
# has only 4096 of them. Line 7 of postmaster.pid is its key and its id.
if [ -e data/postmaster.pid ]; then
    sed -n 7p data/postmaster.pid | while read -r _ segment; do ipcrm -m "$segment"; done
fi
cd / && rm -rf "$directory"
