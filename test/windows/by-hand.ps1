<#
.SYNOPSIS
Calls the plugin on a real Windows as a runtime does: STATUS, ADD, ADD again, DEL, DEL again, cleanup.
.DESCRIPTION
NOT YET RUN: nobody here has a Windows. Not for a machine that somebody needs: ADD puts the adapter behind a virtual
switch, which interrupts the network for some seconds. The pod's address is made up and leads nowhere.
#>
[CmdletBinding()]
param(
    # The folder of azure-vnet.exe, azure-vnet-ipam.exe and namespace.exe (test/hnssim/conformance/namespace).
    [Parameter(Mandatory = $true)]
    [string]$Bin
)
$ErrorActionPreference = 'Stop'
$work = Join-Path ([IO.Path]::GetTempPath()) 'azure-vnet-by-hand'
New-Item -ItemType Directory -Force -Path $work | Out-Null
$conf = Join-Path $work 'conf.json'

# Calls the plugin; the configuration comes by a file, because PowerShell would put a mark before it.
function Invoke-Plugin([string]$Command, [string]$Namespace) {
    $env:CNI_COMMAND = $Command
    $env:CNI_CONTAINERID = 'byhand0123456789'
    $env:CNI_NETNS = $Namespace
    $env:CNI_IFNAME = 'eth0'
    $env:CNI_PATH = $Bin
    $out = cmd /c "`"$Bin\azure-vnet.exe`" < `"$conf`""
    Write-Host "$Command ended with $LASTEXITCODE"
    Write-Host ($out -join "`n")
    return $LASTEXITCODE
}

function Assert-Exit([string]$What, [int]$Is, [int]$Wanted) {
    if ($Is -ne $Wanted) {
        throw "$What ended with $Is instead of $Wanted"
    }
}

# An HNS network without an adapter of its own cannot be an L2Bridge, so the host's is used.
$adapter = Get-NetAdapter -Physical | Where-Object Status -EQ 'Up' | Select-Object -First 1
$address = Get-NetIPAddress -InterfaceIndex $adapter.ifIndex -AddressFamily IPv4 | Select-Object -First 1
$bytes = ([Net.IPAddress]$address.IPAddress).GetAddressBytes()
$mask = [uint32]::MaxValue -shl (32 - $address.PrefixLength)
for ($i = 0; $i -lt 4; $i++) {
    $bytes[$i] = $bytes[$i] -band (($mask -shr (24 - 8 * $i)) -band 255)
}
$subnet = '{0}/{1}' -f ($bytes -join '.'), $address.PrefixLength
$pod = ($address.IPAddress -replace '\.\d+$', '.250')
$interfaces = @{ Interfaces = @(@{
    MacAddress = $adapter.MacAddress; IsPrimary = $true
    IPSubnets  = @(@{ Prefix = $subnet; IPAddresses = @(@{ Address = $address.IPAddress; IsPrimary = $true }, @{ Address = $pod; IsPrimary = $false }) })
}) }
$list = Join-Path $work 'interfaces.json'
[IO.File]::WriteAllText($list, ($interfaces | ConvertTo-Json -Depth 9))
$configuration = @{
    cniVersion = '1.1.0'; name = 'byhand'; type = 'azure-vnet'; mode = 'bridge'; master = $adapter.Name; dataDir = $work
    logFile = (Join-Path $work 'azure-vnet.log'); logLevel = 'debug'
    ipam = @{ type = 'azure-vnet-ipam'; environment = 'mas'; interfacesFile = $list }
}
[IO.File]::WriteAllText($conf, ($configuration | ConvertTo-Json -Depth 9))

$namespace = & (Join-Path $Bin 'namespace.exe')
try {
    Assert-Exit 'STATUS' (Invoke-Plugin 'STATUS' '') 0
    Assert-Exit 'ADD' (Invoke-Plugin 'ADD' $namespace) 0
    Get-NetAdapter | Format-Table | Out-String | Write-Host
    Assert-Exit 'ADD again' (Invoke-Plugin 'ADD' $namespace) 1
    & (Join-Path $Bin 'azure-vnet.exe') doctor --data-dir $work
    Assert-Exit 'DEL' (Invoke-Plugin 'DEL' $namespace) 0
    Assert-Exit 'DEL again' (Invoke-Plugin 'DEL' $namespace) 0
} finally {
    & (Join-Path $Bin 'azure-vnet.exe') cleanup --yes --data-dir $work
    & (Join-Path $Bin 'namespace.exe') $namespace
    Get-Content (Join-Path $work 'azure-vnet.log') | Write-Host
}
