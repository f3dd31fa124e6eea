# SPDX-License-Identifier: MIT
# Completion of ssh-mux for fish: install it as share/fish/vendor_completions.d/ssh-mux.fish.
#
# Names of routes come from `ssh-mux __routes`, which reads the routes file as the daemon does.

function __ssh_mux_command --description 'the command on the line, if there is one'
    set -l words (commandline -opc)
    test (count $words) -ge 2; and echo $words[2]
end

function __ssh_mux_no_command
    test -z (__ssh_mux_command)
end

function __ssh_mux_in --description 'whether the command is one of these'
    contains -- (__ssh_mux_command) $argv
end

function __ssh_mux_wants_route --description 'whether a route may come here'
    __ssh_mux_in connect login proxy doctor; or return 1
    set -l words (commandline -opc)
    for i in (seq 3 (count $words))
        switch $words[$i]
            case '-*'
            case '*'
                # The value of an option is no name.
                contains -- $words[(math $i - 1)] --config --port -p --ssh-bin; or return 1
        end
    end
    return 0
end

function __ssh_mux_routes
    set -l words (commandline -opc)
    $words[1] __routes 2>/dev/null | string match -r '^[A-Za-z0-9._-]+$'
end

complete -c ssh-mux -f
complete -c ssh-mux -s h -l help -d 'Show what the command does'
complete -c ssh-mux -s V -l version -d 'Show the version'

complete -c ssh-mux -n __ssh_mux_no_command -a install -d 'Import, set up, and start the daemon at each login'
complete -c ssh-mux -n __ssh_mux_no_command -a uninstall -d 'Stop, and remove what install made'
complete -c ssh-mux -n __ssh_mux_no_command -a import-config -d 'Make the routes file from an existing ssh configuration'
complete -c ssh-mux -n __ssh_mux_no_command -a setup-config -d 'Tell ssh about the routes'
complete -c ssh-mux -n __ssh_mux_no_command -a check-config -d 'Check the routes file and what it names'
complete -c ssh-mux -n __ssh_mux_no_command -a doctor -d 'Find what is wrong, and print the remedy'
complete -c ssh-mux -n __ssh_mux_no_command -a serve -d 'Run the local SSH server in the foreground'
complete -c ssh-mux -n __ssh_mux_no_command -a daemon -d 'Start the daemon in the background'
complete -c ssh-mux -n __ssh_mux_no_command -a connect -d 'Open a shell or run a command, without an ssh client'
complete -c ssh-mux -n __ssh_mux_no_command -a login -d 'Log in, for all later calls'
complete -c ssh-mux -n __ssh_mux_no_command -a proxy -d 'Be the ProxyCommand of ssh, and ask where you are'
complete -c ssh-mux -n __ssh_mux_no_command -a status -d 'Show routes, connections and clients'
complete -c ssh-mux -n __ssh_mux_no_command -a top -d 'Watch connections and channels live'
complete -c ssh-mux -n __ssh_mux_no_command -a lock -d 'Refuse new sessions, keep the open ones'
complete -c ssh-mux -n __ssh_mux_no_command -a unlock -d 'Accept new sessions again'
complete -c ssh-mux -n __ssh_mux_no_command -a stop -d 'Close all connections and end the daemon'

complete -c ssh-mux -n __ssh_mux_wants_route -a '(__ssh_mux_routes)' -d Route

complete -c ssh-mux -n '__ssh_mux_in install setup-config check-config serve daemon' -s c -l config -r -F -d 'The routes'
complete -c ssh-mux -n '__ssh_mux_in doctor' -l config -r -F -d 'The routes'
complete -c ssh-mux -n '__ssh_mux_in install setup-config doctor serve daemon' -s p -l port -x -d 'Local port'
complete -c ssh-mux -n '__ssh_mux_in install serve daemon' -l timeout -x -d 'Close a connection that nobody uses after these seconds'
complete -c ssh-mux -n '__ssh_mux_in serve daemon' -l max-lifetime -x -d 'Close any connection after these seconds'
complete -c ssh-mux -n '__ssh_mux_in serve daemon' -l log-level -x -a 'error warn info debug' -d 'How much is logged'
complete -c ssh-mux -n '__ssh_mux_in install setup-config' -l via -x -a 'control tcp proxy' -d 'How ssh comes to ssh-mux'
complete -c ssh-mux -n '__ssh_mux_in install import-config setup-config doctor' -l ssh-bin -r -F -d 'The ssh to ask'
complete -c ssh-mux -n '__ssh_mux_in install' -s y -l yes -d 'Restart a daemon even if that ends open channels'
complete -c ssh-mux -n '__ssh_mux_in uninstall' -l purge -d 'Remove the routes, keys and logs as well'
complete -c ssh-mux -n '__ssh_mux_in import-config' -l from -r -F -d 'The ssh configuration'
complete -c ssh-mux -n '__ssh_mux_in import-config' -l out -r -F -d 'The routes file'
complete -c ssh-mux -n '__ssh_mux_in import-config' -l write -d 'Write it instead of printing it'
complete -c ssh-mux -n '__ssh_mux_in import-config' -l force -d 'Replace one that is there'
complete -c ssh-mux -n '__ssh_mux_in import-config' -l merge -d 'Add the hosts that it has not'
complete -c ssh-mux -n '__ssh_mux_in import-config' -l transports -d 'Take hosts whose ProxyCommand needs no shell'
complete -c ssh-mux -n '__ssh_mux_in install import-config' -l except -x -d 'Leave these hosts to ssh'
complete -c ssh-mux -n '__ssh_mux_in install setup-config' -l all -d 'Also hosts that want more'
complete -c ssh-mux -n '__ssh_mux_in setup-config' -s n -l dry-run -d 'Show what would change'
complete -c ssh-mux -n '__ssh_mux_in setup-config' -l for-app -d 'Print what programs without an ssh config need'
complete -c ssh-mux -n '__ssh_mux_in setup-config' -l json -d 'The same as JSON'
complete -c ssh-mux -n '__ssh_mux_in serve' -l remote -x -d 'The one server, HOST:PORT'
complete -c ssh-mux -n '__ssh_mux_in serve' -s u -l user -x -d 'The user to log in as there'
complete -c ssh-mux -n '__ssh_mux_in daemon' -l no-listen -d 'No local port'
complete -c ssh-mux -n '__ssh_mux_in daemon' -l foreground -d 'Stay in the foreground, for a service manager'
complete -c ssh-mux -n '__ssh_mux_in connect' -s t -d 'With a terminal'
complete -c ssh-mux -n '__ssh_mux_in connect' -s T -d 'Without a terminal'
complete -c ssh-mux -n '__ssh_mux_in proxy' -l batch -d 'Ask nothing'
complete -c ssh-mux -n '__ssh_mux_in login' -l renew -d 'Log in again before the old login ends'
complete -c ssh-mux -n '__ssh_mux_in status doctor' -l json -d 'One JSON object, for programs'
complete -c ssh-mux -n '__ssh_mux_in status top' -l color -x -a 'always never auto' -d Colour
complete -c ssh-mux -n '__ssh_mux_in top' -s i -l interval -x -d 'Seconds between two looks'
complete -c ssh-mux -n '__ssh_mux_in top' -l once -d 'One view as plain text'
