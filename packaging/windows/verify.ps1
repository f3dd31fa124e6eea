# SPDX-License-Identifier: MIT
# What only Windows itself can show of ssh-mux, for a person to run there:
#
#   powershell -NoProfile -ExecutionPolicy Bypass -File verify.ps1 -Program C:\path\ssh-mux.exe
#
# Works in a temporary SSH directory below the profile and takes everything back; the user's own
# .ssh is not touched. install and uninstall are only tried where no ssh-mux is installed.
# Each line: PASS, FAIL or NOT RUN, the requirement, and what was looked at. Exit code: number of
# failures. Windows PowerShell 5.1 or later; no administrator's rights (one check wants them).
param(
    [Parameter(Mandatory = $true)][string]$Program,
    [int]$Port = 22922
)

$ErrorActionPreference = 'Stop'
$Program = (Resolve-Path -LiteralPath $Program).ProviderPath
$failures = 0
$base = Join-Path $env:USERPROFILE ('ssh-mux-verify-' + [Guid]::NewGuid().ToString('N'))
$sshDir = Join-Path $base 'ssh'
$savedDir = $env:SSH_MUX_SSH_DIR
$me = [Security.Principal.WindowsIdentity]::GetCurrent().User
$everyone = New-Object Security.Principal.SecurityIdentifier 'S-1-1-0'
$trusted = @($me.Value, 'S-1-5-18', 'S-1-5-32-544')

function Report([string]$Result, [string]$Row, [string]$Text) {
    '{0,-8} {1,-4} {2}' -f $Result, $Row, $Text
    if ($Result -eq 'FAIL') { $script:failures++ }
}

# Runs a check that returns $true or $false, or a text: why it could not be run.
function Check([string]$Row, [string]$Text, [scriptblock]$Body) {
    try {
        $got = & $Body
    } catch {
        Report 'FAIL' $Row ($Text + ': ' + $_.Exception.Message)
        return
    }
    if ($got -is [string]) { Report 'NOT RUN' $Row ($Text + ': ' + $got) }
    elseif ($got) { Report 'PASS' $Row $Text }
    else { Report 'FAIL' $Row $Text }
}

# The exit code of ssh-mux; what it writes is in $script:said.
function Invoke-Mux([string[]]$Words) {
    $saved = $ErrorActionPreference
    $ErrorActionPreference = 'Continue' # its stderr is no error of ours
    $script:said = (& $Program @Words 2>&1 | Out-String)
    $code = $LASTEXITCODE
    $ErrorActionPreference = $saved
    return $code
}

# A directory or file that is this user's alone, without what it would inherit.
function Set-Private([string]$Path) {
    $acl = Get-Acl -LiteralPath $Path
    $acl.SetAccessRuleProtection($true, $false)
    foreach ($rule in @($acl.Access)) { [void]$acl.RemoveAccessRule($rule) }
    $inherit = 'None'
    if (Test-Path -LiteralPath $Path -PathType Container) { $inherit = 'ContainerInherit, ObjectInherit' }
    $acl.AddAccessRule((New-Object Security.AccessControl.FileSystemAccessRule $me, 'FullControl', $inherit, 'None', 'Allow'))
    Set-Acl -LiteralPath $Path -AclObject $acl
}

# Only this user, SYSTEM and Administrators may do anything, and nothing is inherited.
function Test-PrivateFile([string]$Path) {
    $acl = Get-Acl -LiteralPath $Path
    if (-not $acl.AreAccessRulesProtected) { return $false }
    $rules = $acl.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])
    foreach ($rule in $rules) {
        if ($rule.AccessControlType -eq 'Allow' -and $trusted -notcontains $rule.IdentityReference.Value) { return $false }
    }
    return $true
}

function Write-Routes([string]$Dir) {
    $path = Join-Path $Dir 'ssh-mux-routes.toml'
    [IO.File]::WriteAllText($path, "[routes.r0]`nhost = `"192.0.2.1`"`nuser = `"me`"`ndirect = true`n")
    Set-Private $path
}

function Get-OurPipes {
    @([IO.Directory]::GetFiles('\\.\pipe\') | Where-Object { $_ -like '*\ssh-mux-*' -and $_ -notlike '*ssh-mux-out-*' })
}

New-Item -ItemType Directory -Path $base | Out-Null
try {
    Set-Private $base
    New-Item -ItemType Directory -Path $sshDir | Out-Null
    Set-Private $sshDir
    Write-Routes $sshDir
    $env:SSH_MUX_SSH_DIR = $sshDir
    $pipesBefore = Get-OurPipes

    # ---- the daemon ---------------------------------------------------------------------------
    Check 'D1' 'the daemon starts in the background and answers' {
        $code = Invoke-Mux @('daemon', '-p', "$Port")
        ($code -eq 0) -and ((Invoke-Mux @('status')) -eq 0)
    }
    $pipe = @(Get-OurPipes | Where-Object { $pipesBefore -notcontains $_ }) | Select-Object -First 1

    Check 'S6' 'the pipe: nobody but this user may open it' {
        if (-not $pipe) { return 'its pipe was not found in the list of pipes' }
        $name = $pipe.Substring('\\.\pipe\'.Length)
        $rights = [IO.Pipes.PipeAccessRights]'ReadWrite, ReadPermissions'
        $client = New-Object IO.Pipes.NamedPipeClientStream '.', $name, $rights, 'None', 'Anonymous', 'None'
        try {
            $client.Connect(5000)
            $sec = $client.GetAccessControl()
            $ok = $sec.GetOwner([Security.Principal.SecurityIdentifier]).Value -eq $me.Value
            foreach ($rule in $sec.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
                if ($rule.AccessControlType -eq 'Allow' -and $rule.IdentityReference.Value -ne $me.Value) { $ok = $false }
            }
            $ok
        } finally { $client.Dispose() }
    }

    Check 'S6' 'the pipe: no second server of the same name (FILE_FLAG_FIRST_PIPE_INSTANCE)' {
        if (-not $pipe) { return 'its pipe was not found in the list of pipes' }
        $name = $pipe.Substring('\\.\pipe\'.Length)
        # 0x00080000 is FILE_FLAG_FIRST_PIPE_INSTANCE: refused while another one is there.
        $options = [IO.Pipes.PipeOptions]0x00080000
        try {
            $server = New-Object IO.Pipes.NamedPipeServerStream $name, 'InOut', 1, 'Byte', $options
            $server.Dispose()
            $false
        } catch [UnauthorizedAccessException] { $true } catch [IO.IOException] { $true } catch [ArgumentException] {
            'this PowerShell can not ask for it'
        }
    }

    Check 'S6' 'a second daemon is refused' {
        (Invoke-Mux @('daemon', '-p', "$($Port + 1)")) -ne 0
    }

    Check 'L1' 'nobody binds beside the local port, even with SO_REUSEADDR (SO_EXCLUSIVEADDRUSE)' {
        $thief = New-Object Net.Sockets.Socket 'InterNetwork', 'Stream', 'Tcp'
        try {
            $thief.SetSocketOption('Socket', 'ReuseAddress', $true)
            $thief.Bind((New-Object Net.IPEndPoint ([Net.IPAddress]::Loopback), $Port))
            $false
        } catch { $true } finally { $thief.Close() }
    }

    Check 'L1' 'it listens on 127.0.0.1 and nowhere else' {
        $all = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners()
        $ours = @($all | Where-Object { $_.Port -eq $Port })
        ($ours.Count -eq 1) -and ($ours[0].Address.ToString() -eq '127.0.0.1')
    }

    Check 'S4' 'the host key: protected, for this user, SYSTEM and Administrators alone' {
        Test-PrivateFile (Join-Path $sshDir 'ssh-mux-host-key')
    }

    Check 'S3' 'files beside the token of the pipe are private as well' {
        $dir = Join-Path $env:LOCALAPPDATA 'ssh-mux'
        if (-not (Test-Path -LiteralPath $dir)) { return "there is no $dir" }
        $ok = $true
        foreach ($file in @(Get-ChildItem -LiteralPath $dir -File -Force)) {
            if (-not (Test-PrivateFile $file.FullName)) { $ok = $false }
        }
        $ok
    }

    # ---- what must not be trusted -------------------------------------------------------------
    Check 'S3' 'a routes file that everybody can write is refused' {
        $path = Join-Path $sshDir 'ssh-mux-routes.toml'
        $acl = Get-Acl -LiteralPath $path
        $rule = New-Object Security.AccessControl.FileSystemAccessRule $everyone, 'Write', 'Allow'
        $acl.AddAccessRule($rule)
        Set-Acl -LiteralPath $path -AclObject $acl
        $code = Invoke-Mux @('setup-config', '--dry-run')
        Set-Private $path
        ($code -ne 0) -and ((Invoke-Mux @('setup-config', '--dry-run')) -eq 0)
    }

    Check 'S1' 'an SSH directory behind a junction is refused' {
        $link = Join-Path $base 'junction'
        & cmd.exe /c mklink /J "$link" "$sshDir" | Out-Null
        if ($LASTEXITCODE -ne 0) { return 'no junction could be made' }
        try {
            $env:SSH_MUX_SSH_DIR = $link
            $code = Invoke-Mux @('setup-config', '--dry-run')
            $env:SSH_MUX_SSH_DIR = Join-Path $link 'below'
            $below = Invoke-Mux @('setup-config', '--dry-run')
            ($code -ne 0) -and ($below -ne 0)
        } finally {
            $env:SSH_MUX_SSH_DIR = $sshDir
            [IO.Directory]::Delete($link) # the junction, not what it leads to
        }
    }

    Check 'S1' 'a routes file that is a symbolic link is refused' {
        $real = Join-Path $base 'real.toml'
        $link = Join-Path $sshDir 'link.toml'
        Copy-Item -LiteralPath (Join-Path $sshDir 'ssh-mux-routes.toml') -Destination $real
        Set-Private $real
        & cmd.exe /c mklink "$link" "$real" 2>&1 | Out-Null
        if (-not (Test-Path -LiteralPath $link)) { return 'links need administrator''s rights or the developer mode' }
        try {
            (Invoke-Mux @('setup-config', '--dry-run', '--config', $link)) -ne 0
        } finally { [IO.File]::Delete($link) }
    }

    Check 'D1' 'the daemon ends when it is told to' {
        ((Invoke-Mux @('stop')) -eq 0) -and ((Invoke-Mux @('status')) -ne 0)
    }

    # ---- install ------------------------------------------------------------------------------
    $startup = [Environment]::GetFolderPath('Startup')
    $vbs = Join-Path $startup 'ssh-mux.vbs'
    if (Test-Path -LiteralPath $vbs) {
        Report 'NOT RUN' 'C6' 'install and uninstall: ssh-mux is installed for this user already'
    } else {
        try {
            Check 'C6' 'install: program, script in the Startup folder, daemon at once' {
                $poison = $env:APPDATA
                $env:APPDATA = Join-Path $base 'poison' # S8: the folder is not taken from here
                $code = Invoke-Mux @('install', '-p', "$Port", '--yes')
                $env:APPDATA = $poison
                ($code -eq 0) -and (Test-Path -LiteralPath $vbs) -and
                    (Test-Path -LiteralPath (Join-Path $sshDir 'ssh-mux.exe')) -and
                    ((Invoke-Mux @('status')) -eq 0)
            }
            Check 'C6' 'the script starts it, as at logon, with the right directory' {
                [void](Invoke-Mux @('stop'))
                $env:SSH_MUX_SSH_DIR = $null
                & "$([Environment]::SystemDirectory)\wscript.exe" $vbs
                $env:SSH_MUX_SSH_DIR = $sshDir
                $code = 1
                for ($i = 0; $i -lt 40 -and $code -ne 0; $i++) {
                    Start-Sleep -Milliseconds 250
                    $code = Invoke-Mux @('status')
                }
                $code -eq 0
            }
            Check 'C6' 'install again changes nothing and knows the daemon as its own' {
                $code = Invoke-Mux @('install', '-p', "$Port", '--yes')
                ($code -eq 0) -and ($script:said -match 'ssh-mux\.vbs: unchanged, process id')
            }
            Check 'C6' 'a program that runs is replaced' {
                $newer = Join-Path $base 'newer.exe'
                Copy-Item -LiteralPath $Program -Destination $newer
                $file = [IO.File]::Open($newer, 'Append')
                $file.WriteByte(1)
                $file.Close()
                & $newer install -p $Port --yes 2>&1 | Out-Null
                ($LASTEXITCODE -eq 0) -and
                    ((Get-Item -LiteralPath (Join-Path $sshDir 'ssh-mux.exe')).Length -eq (Get-Item -LiteralPath $newer).Length)
            }
            Check 'C7' 'cursor-ssh.cmd runs ssh.exe' {
                $wrapper = Join-Path $sshDir 'cursor-ssh.cmd'
                if (-not (Test-Path -LiteralPath $wrapper)) { return $false }
                $saved = $ErrorActionPreference
                $ErrorActionPreference = 'Continue'
                $text = (& $wrapper -V 2>&1 | Out-String)
                $ErrorActionPreference = $saved
                $text -match 'OpenSSH'
            }
        } finally {
            Check 'C6' 'uninstall takes all of it back' {
                $code = Invoke-Mux @('uninstall')
                ($code -eq 0) -and -not (Test-Path -LiteralPath $vbs) -and
                    -not (Test-Path -LiteralPath (Join-Path $sshDir 'ssh-mux.exe'))
            }
        }
    }

    # ---- what a person has to look at ---------------------------------------------------------
    Report 'NOT RUN' 'S6' 'another user can not open the pipe: log in as one, and run: ssh-mux status'
    Report 'NOT RUN' 'A4' 'prompter = "powershell": connect to a route that asks for a code; the window asks, masked'
    Report 'NOT RUN' 'A5' 'close that window: ssh ends within a second'
    Report 'NOT RUN' 'A4' 'prompter = "native": the dialogue comes to the front, titled ssh-mux OTP'
    Report 'NOT RUN' 'A4' 'the same under Constrained Language Mode (__PSLockdownPolicy = 4): the native window asks, the log says why'
    Report 'NOT RUN' 'A1' 'with the ssh-agent service running, ssh-mux doctor counts its keys; Ctrl-Break on serve logs stopping'
    Report 'NOT RUN' 'A6' 'an askpass.cmd in C:\R&D (x) and the prompt " & calc & ": no calculator; Ctrl-C leaves no process behind'
    Report 'NOT RUN' 'S6' 'an elevated shell and a plain one share a daemon, whichever started it: ssh-mux status in both'
    Report 'NOT RUN' 'S6' 'ssh-mux stop and ssh-mux daemon, 20 times, with a virus scanner on: never "running already"'
    Report 'NOT RUN' 'S3' 'notepad, plain and elevated, makes a file in a new .ssh: icacls shows you, SYSTEM and Administrators'
    Report 'NOT RUN' 'S1' 'a junction, and a OneDrive placeholder, as SSH_MUX_SSH_DIR: refused in one clear line'
    Report 'NOT RUN' 'C8' 'known_hosts held open by another program: a new host key is pinned or refused, the file is whole'
    Report 'NOT RUN' 'D2' 'ssh-mux connect ROUTE in Windows Terminal: keys, colours, resizing, and the console as before at the end'
} finally {
    $env:SSH_MUX_SSH_DIR = $sshDir
    [void](Invoke-Mux @('stop'))
    $env:SSH_MUX_SSH_DIR = $savedDir
    Start-Sleep -Milliseconds 500
    Remove-Item -LiteralPath $base -Recurse -Force -ErrorAction SilentlyContinue
    if (Test-Path -LiteralPath $base) { "left behind, for you to remove: $base" }
}
"$failures failed"
exit $failures
