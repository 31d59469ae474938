// The network and the machines of docs/quickstart-kubeadm.md; the same as ../arm/nodes.json.
param location string = resourceGroup().location
@minValue(1)
param workers int = 2
@description('Secondary addresses of each NIC; Azure allows 256 addresses in total.')
@minValue(1)
@maxValue(255)
param podsPerNode int = 50
param vmSize string = 'Standard_D2s_v5'
param sshPublicKey string
@description('The addresses that may use ssh, for example 203.0.113.7/32.')
param sshFrom string

resource nodes 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nodes'
  location: location
  properties: {
    securityRules: [
      {
        name: 'ssh'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: sshFrom
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '22'
        }
      }
    ]
  }
}

resource outboundIP 'Microsoft.Network/publicIPAddresses@2024-05-01' = {
  name: 'outbound'
  location: location
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

resource sshIP 'Microsoft.Network/publicIPAddresses@2024-05-01' = {
  name: 'ssh'
  location: location
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

// The way out, for machines and pods: no masquerading on the nodes.
resource outbound 'Microsoft.Network/natGateways@2024-05-01' = {
  name: 'outbound'
  location: location
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIpAddresses: [
      {
        id: outboundIP.id
      }
    ]
  }
}

// 65,536 addresses: 250 nodes with 250 pods each. The services' range (10.0.0.0/16) lies outside.
resource cluster 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: 'cluster'
  location: location
  properties: {
    addressSpace: {
      addressPrefixes: [
        '10.240.0.0/16'
      ]
    }
    subnets: [
      {
        name: 'nodes'
        properties: {
          addressPrefix: '10.240.0.0/16'
          networkSecurityGroup: {
            id: nodes.id
          }
          natGateway: {
            id: outbound.id
          }
        }
      }
    ]
  }
}

resource controlPlaneNIC 'Microsoft.Network/networkInterfaces@2024-05-01' = {
  name: 'control-plane'
  location: location
  properties: {
    ipConfigurations: [for i in range(0, podsPerNode + 1): {
      name: 'ip${i}'
      properties: {
        primary: i == 0
        privateIPAllocationMethod: 'Dynamic'
        subnet: {
          id: cluster.properties.subnets[0].id
        }
        publicIPAddress: i == 0 ? {
          id: sshIP.id
        } : null
      }
    }]
    enableAcceleratedNetworking: true
  }
}

resource workerNICs 'Microsoft.Network/networkInterfaces@2024-05-01' = [for w in range(1, workers): {
  name: 'worker${w}'
  location: location
  properties: {
    ipConfigurations: [for i in range(0, podsPerNode + 1): {
      name: 'ip${i}'
      properties: {
        primary: i == 0
        privateIPAllocationMethod: 'Dynamic'
        subnet: {
          id: cluster.properties.subnets[0].id
        }
      }
    }]
    enableAcceleratedNetworking: true
  }
}]

var storage = {
  imageReference: {
    publisher: 'Canonical'
    offer: 'ubuntu-24_04-lts'
    sku: 'server'
    version: 'latest'
  }
  osDisk: {
    createOption: 'FromImage'
    managedDisk: {
      storageAccountType: 'Premium_LRS'
    }
  }
}

var linux = {
  disablePasswordAuthentication: true
  ssh: {
    publicKeys: [
      {
        path: '/home/azureuser/.ssh/authorized_keys'
        keyData: sshPublicKey
      }
    ]
  }
}

resource controlPlane 'Microsoft.Compute/virtualMachines@2024-07-01' = {
  name: 'control-plane'
  location: location
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    hardwareProfile: {
      vmSize: vmSize
    }
    storageProfile: storage
    osProfile: {
      computerName: 'control-plane'
      adminUsername: 'azureuser'
      linuxConfiguration: linux
    }
    networkProfile: {
      networkInterfaces: [
        {
          id: controlPlaneNIC.id
        }
      ]
    }
  }
}

resource workerVMs 'Microsoft.Compute/virtualMachines@2024-07-01' = [for w in range(1, workers): {
  name: 'worker${w}'
  location: location
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    hardwareProfile: {
      vmSize: vmSize
    }
    storageProfile: storage
    osProfile: {
      computerName: 'worker${w}'
      adminUsername: 'azureuser'
      linuxConfiguration: linux
    }
    networkProfile: {
      networkInterfaces: [
        {
          id: workerNICs[w - 1].id
        }
      ]
    }
  }
}]
