"""What the doctor has a device do, each step with the library there: MicroPython at the raw prompt
of a board, and the same text under CPython where there is no board. Each defines `step`, which
returns what JSON can hold; `c` is the configuration, and what a step leaves is there for the
next."""

#: Once, with the path of device.json; `folder` is where the other files are.
BEGIN = """
import sys,json,asyncio,gc
from thing.config import load
c=load({path!r})
folder={folder!r}
domain=c['jid'].split('@')[1]
def feed():pass
"""

# JOIN_S: how long it may take
WIFI = """
import network
async def step():
 w=c.get('wifi')
 try:
  with open('wifi.json') as f:k=json.load(f)
  if k.get('ssid'):w=k
 except (OSError,ValueError):pass
 if w is None:return {'none':1}
 if not w.get('ssid'):return {'unknown':1}
 why={network.STAT_WRONG_PASSWORD:'wrong password',network.STAT_NO_AP_FOUND:'not found'}
 if hasattr(network,'STAT_HANDSHAKE_TIMEOUT'):
  why[network.STAT_HANDSHAKE_TIMEOUT]='wrong password'
 s=network.WLAN(network.STA_IF)
 s.active(True)
 try:s.disconnect()
 except OSError:pass
 try:s.connect(w['ssid'],w.get('password'))
 except OSError as e:return {'ssid':w['ssid'],'why':str(e)}
 bad=0
 for _ in range(JOIN_S*10):
  await asyncio.sleep(0.1)
  a=s.ifconfig()
  if s.isconnected() and a[0]!='0.0.0.0':
   r={'ssid':w['ssid'],'address':a[0]}
   try:r['rssi']=s.status('rssi')
   except (ValueError,OSError,TypeError):pass
   return r
  if s.status() in why:
   bad+=1
   if bad>4:break
 r={'ssid':w['ssid']}
 r['why']=why.get(s.status(),'no address' if s.isconnected() else 'no answer')
 if r['why']=='not found':
  try:
   s.disconnect()
   r['seen']=[n[0].decode() for n in s.scan()[:8] if n[0]]
  except (OSError,ValueError):pass
 return r
"""

# HOST_NOW: the time here
CLOCK = """
from thing.clock import Clock
async def step():
 k=Clock()
 n=k.now()
 r={'was':n,'pin':bool(c.get('pin'))}
 if r['pin'] or n is not None and abs(n-HOST_NOW)<86400:return r
 from thing.ntp import SERVER,ask
 r['server']=c.get('ntp') or SERVER
 try:
  r['now']=await ask(r['server'],c.get('nameserver'))
  k.set(r['now'])
 except OSError as e:r['why']=str(e)
 return r
"""

DNS = """
from uxmpp import net
async def step():
 h,p,d=c.get('host'),c.get('port'),c.get('direct',False)
 r={'srv':None}
 if not h and not p:
  from uxmpp.resolver import services
  try:r['srv']=await services(domain,c.get('nameserver'))
  except OSError as e:r['why']=str(e)
  if r['srv']:h,p,d=r['srv'][0]
 h=h or domain
 r['host']=h
 r['port']=p or (5223 if d else 5222)
 a=await net.address(h,c.get('nameserver'))
 if sys.implementation.name!='micropython':
  a=(await asyncio.get_running_loop().getaddrinfo(a,r['port']))[0][4][0]
 r['address']=a
 return r
"""

TLS = """
from binascii import hexlify
from uxmpp import net,stream
async def step():
 global s,f
 t=net.Context(c.get('ca'),c.get('pin'))
 t.der=b''
 r={'at':'connect'}
 try:
  n=[c.get(k) for k in ('host','port','direct','nameserver')]
  n,d=await net.connect(domain,*n)
  s=stream.Stream(n,c['jid'])
  r['at']='TLS'
  await s.secure(t,d)
  f=await s.features()
  r['pin']=bool(c.get('pin'))
 except Exception as e:
  r['why']=str(e) or repr(e)
 if t.der:r['der']=hexlify(t.der).decode()
 return r
"""

LOGIN = """
async def step():
 m=await s.choose(f[0],c.get('password'),c.get('plain',False),c.get('keys'))
 await s.bound(await s.auth(m,f[1]),m)
 return {'jid':s.jid,'mechanism':m.name,'keys':bool(c.get('keys'))}
"""

# The priority keeps messages for the device from coming here
OWNER = """
from uxmpp.xml import Element
async def step():
 people={}
 for k in ('viewers','operators','owners'):
  for p in c[k]:people[p]=k[:-1]
 try:
  with open(folder+'roles.json') as g:k=json.load(g)
  people.update({p:v for p,v in k.items() if '@' in p})
 except (OSError,ValueError,AttributeError):pass
 r={'owners':[p for p,v in people.items() if v=='owner'],'shared':bool(c.get('shared'))}
 r['others']=len([v for v in people.values() if v!='none'])-len(r['owners'])
 r['pair']='pair' in c
 r['code']=bool(c.get('pair'))
 async def ask():
  await s.write(Element('iq',None,{'type':'get','id':'r1'},[Element('query','jabber:iq:roster')]))
  for _ in range(50):
   e=await s.read()
   if e.name=='iq' and e.get('id')=='r1':break
  q=e.find('query','jabber:iq:roster')
  r['roster']={}
  for i in q.elements() if q else ():
   if i.get('jid') in r['owners']:r['roster'][i.get('jid')]=i.get('subscription')
  e=Element('presence')
  e.add('priority',None,None,'-1')
  await s.write(e)
  r['online']=[]
  left=[p for p,v in r['roster'].items() if v in ('to','both')]
  for _ in range(50):
   if not left:break
   e=await s.read()
   p=(e.get('from') or '').split('/')[0]
   if e.name=='presence' and p in left and e.get('type') is None:
    left.remove(p)
    r['online'].append(p)
 if r['owners'] and not r['shared']:
  try:await asyncio.wait_for(ask(),4)
  except Exception:pass
 return r
"""

END = """
async def step():
 try:await s.write(b'</stream:stream>')
 except Exception:pass
 s.connection.close()
"""

#: What runs `step` on a board: the watchdog is fed meanwhile, and the last line is the result.
RUN = """
async def _fed():
 async def beat():
  while True:
   feed()
   await asyncio.sleep(1)
 t=asyncio.create_task(beat())
 try:return await step()
 finally:t.cancel()
try:_r=asyncio.run(_fed())
except Exception as e:_r={'error':type(e).__name__,'text':str(e)}
print('\\n=> '+json.dumps(_r))
del step
gc.collect()
"""
