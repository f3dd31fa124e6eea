# SPDX-License-Identifier: MIT
# Completion of ssh-mux for PowerShell (5.1 and later): call it from your $PROFILE,
#   . C:\path\to\ssh-mux.ps1
#
# Names of routes come from `ssh-mux __routes`, which reads the routes file as the daemon does.

Register-ArgumentCompleter -Native -CommandName 'ssh-mux', 'ssh-mux.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commands = [ordered]@{
        'install'       = 'import, set up, and start the daemon at each login'
        'uninstall'     = 'stop, and remove what install made'
        'import-config' = 'make the routes file from an existing ssh configuration'
        'setup-config'  = 'tell ssh about the routes'
        'check-config'  = 'check the routes file and what it names'
        'doctor'        = 'find what is wrong, and print the remedy'
        'serve'         = 'run the local SSH server in the foreground'
        'daemon'        = 'start the daemon in the background'
        'connect'       = 'open a shell or run a command, without an ssh client'
        'login'         = 'log in, for all later calls'
        'proxy'         = 'be the ProxyCommand of ssh, and ask where you are'
        'status'        = 'show routes, connections and clients'
        'top'           = 'watch connections and channels live'
        'lock'          = 'refuse new sessions, keep the open ones'
        'unlock'        = 'accept new sessions again'
        'stop'          = 'close all connections and end the daemon'
    }
    $options = @{
        'install'       = @('--config', '--port', '--timeout', '--via', '--except', '--all', '--ssh-bin', '--yes')
        'uninstall'     = @('--purge')
        'import-config' = @('--from', '--out', '--write', '--force', '--merge', '--transports', '--except', '--ssh-bin')
        'setup-config'  = @('--config', '--port', '--via', '--all', '--dry-run', '--for-app', '--json', '--ssh-bin')
        'check-config'  = @('--config')
        'doctor'        = @('--config', '--port', '--ssh-bin', '--json')
        'serve'         = @('--config', '--remote', '--user', '--port', '--timeout', '--max-lifetime', '--log-level')
        'daemon'        = @('--config', '--port', '--no-listen', '--timeout', '--max-lifetime', '--log-level', '--foreground')
        'login'         = @('--renew')
        'proxy'         = @('--batch')
        'status'        = @('--json', '--color')
        'top'           = @('--interval', '--once', '--color')
    }
    $values = @{
        '--via'       = @('control', 'tcp', 'proxy')
        '--color'     = @('always', 'never', 'auto')
        '--log-level' = @('error', 'warn', 'info', 'debug')
    }

    # The words before the one at the cursor, without the program's name.
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
    $last = ''
    if ($words.Count -gt 0) { $last = $words[$words.Count - 1] }
    $found = @()
    if ($values.ContainsKey($last)) {
        $found = $values[$last]
    } elseif ($words.Count -eq 0) {
        $found = @($commands.Keys) + @('--help', '--version')
    } elseif ($wordToComplete.StartsWith('-')) {
        $found = @($options[$words[0]]) + @('--help', '--version')
    } elseif (@('connect', 'login', 'proxy', 'doctor') -contains $words[0]) {
        # As text: nothing of it is run.
        $program = $commandAst.GetCommandName()
        $found = @(& $program __routes 2>$null) | Where-Object { $_ -match '^[A-Za-z0-9._-]+$' }
    }
    foreach ($item in $found) {
        if (-not $item -or -not $item.StartsWith($wordToComplete, [StringComparison]::Ordinal)) { continue }
        $tip = $item
        if ($words.Count -eq 0 -and $commands.Contains($item)) { $tip = $commands[$item] }
        [Management.Automation.CompletionResult]::new($item, $item, 'ParameterValue', $tip)
    }
}
