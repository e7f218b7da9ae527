"""Mail domains that say nothing about an employer: free providers, access providers and throw-away addresses.

Registrable domains in lower case; a domain on it gives its customer a personal account. Throw-away addresses come from
a package that follows them week by week, the rest is curated by hand.
"""

from disposable_email_domains import blocklist

_PROVIDERS = """
126.com 139.com 163.com 189.cn 1und1.de 21cn.com abv.bg addy.io aim.com alice.it aliceadsl.fr aliyun.com ameritech.net
anonaddy.com anonaddy.me aol.co.uk aol.com aol.de aol.fr aon.at appleid.com arcor.de asia.com atlas.cz att.net au.com
azet.sk bbox.fr bell.net bellsouth.net bigmir.net bigpond.com bigpond.net.au bk.ru bluewin.ch blueyonder.co.uk
bol.com.br bredband.net btinternet.com btopenworld.com centrum.cz centurylink.net charter.net chello.at citromail.hu
club-internet.fr comcast.net consultant.com countermail.com cox.net ctemplar.com daum.net dir.bg disroot.org
docomo.ne.jp duck.com earthlink.net eircom.net email.com email.cz email.de email.it engineer.com europe.com excite.com
ezweb.ne.jp fastmail.com fastmail.fm fastmail.net fastwebnet.it foxmail.com free.fr freemail.hu freenet.de
frontier.com frontiernet.net gazeta.pl getmail.no globo.com globomail.com gmail.com gmx.at gmx.ch gmx.co.uk gmx.com
gmx.de gmx.fr gmx.net gmx.us googlemail.com hanmail.net hetnet.nl hey.com hispeed.ch home.nl hotmail.be hotmail.co.jp
hotmail.co.uk hotmail.com hotmail.com.ar hotmail.com.br hotmail.de hotmail.es hotmail.fr hotmail.it hotmail.nl
hotmail.se hush.com hushmail.com i.ua icloud.com ig.com.br iinet.net.au in.com iname.com inbox.com inbox.lv inbox.ru
indiatimes.com interia.eu interia.pl internet.ru inwind.it iol.it iol.pt jubii.dk juno.com kakao.com keemail.me
kolabnow.com kpnmail.nl laposte.net lenta.ru libero.it list.ru live.be live.ca live.co.uk live.com live.com.au
live.com.mx live.de live.dk live.fr live.it live.jp live.nl live.no live.se love.com luukku.com lycos.com mac.com
mail.bg mail.com mail.de mail.dk mail.ee mail.ru mailbox.org mailfence.com maktoob.com me.com meta.ua mindspring.com
mozmail.com msn.com mynet.com myself.com myyahoo.com nate.com naver.com netvision.net.il netzero.net neuf.fr
ntlworld.com numericable.fr o2.co.uk o2.pl ofir.dk onet.eu onet.pl online.de online.no op.pl optonline.net
optusnet.com.au orange.fr outlook.co.id outlook.com outlook.com.au outlook.com.br outlook.de outlook.es outlook.fr
outlook.it outlook.jp outlook.kr pacbell.net passport.com planet.nl pm.me post.com post.cz poste.it posteo.de
posteo.net prodigy.net proton.me protonmail.ch protonmail.com qq.com r7.com rambler.ru rediffmail.com riseup.net
roadrunner.com rocketmail.com rogers.com rr.com runbox.com sapo.pt saunalahti.fi sbcglobal.net sent.com seznam.cz
sfr.fr shaw.ca sify.com simplelogin.co simplelogin.com sina.cn sina.com skiff.com sky.com skynet.be softbank.ne.jp
sohu.com spray.se startmail.com sunrise.ch suomi24.fi sympatico.ca t-online.de talktalk.net telefonica.net telenet.be
telia.com telus.net terra.com terra.com.br terra.es tin.it tiscali.co.uk tiscali.it tlen.pl tom.com tpg.com.au
turk.net tuta.com tuta.io tutamail.com tutanota.com tutanota.de ukr.net uol.com.br upcmail.nl usa.com verizon.net
videotron.ca virgilio.it virginmedia.com voila.fr vp.pl walla.co.il walla.com wanadoo.fr web.de windowslive.com
windstream.net wo.cn wp.pl writeme.com xs4all.nl xtra.co.nz ya.com ya.ru yahoo.ca yahoo.co.id yahoo.co.in yahoo.co.jp
yahoo.co.kr yahoo.co.nz yahoo.co.th yahoo.co.uk yahoo.co.za yahoo.com yahoo.com.ar yahoo.com.au yahoo.com.br
yahoo.com.hk yahoo.com.mx yahoo.com.my yahoo.com.ph yahoo.com.sg yahoo.com.tr yahoo.com.tw yahoo.com.vn yahoo.de
yahoo.dk yahoo.es yahoo.fr yahoo.gr yahoo.ie yahoo.in yahoo.it yahoo.nl yahoo.no yahoo.pl yahoo.ro yahoo.se yandex.by
yandex.com yandex.kz yandex.ru yandex.ua yeah.net ymail.com ziggo.nl zoho.com zohomail.com zohomail.eu zohomail.in
zoznam.sk
"""

_DISPOSABLE = """
10minutemail.com 10minutemail.net 1secmail.com 1secmail.net 1secmail.org 20minutemail.com 33mail.com anonbox.net
burnermail.io byom.de deadaddress.com discard.email dispostable.com dropmail.me einrot.com emailfake.com
emailondeck.com fakeinbox.com fakemail.net getairmail.com getnada.com grr.la guerrillamail.biz guerrillamail.com
guerrillamail.net guerrillamail.org guerrillamailblock.com harakirimail.com inboxbear.com inboxkitten.com
incognitomail.org jetable.org linshiyouxiang.net luxusmail.org mail-temp.com mail.tm mailcatch.com maildrop.cc
mailinator.com mailnesia.com mailnull.com mailsac.com mintemail.com minuteinbox.com moakt.com mohmal.com mytemp.email
nada.email pokemail.net sharklasers.com spam4.me spambog.com spamex.com spamgourmet.com temp-mail.io temp-mail.org
tempail.com tempinbox.com tempmail.com tempmail.dev tempmail.net tempmailo.com tempr.email throwaway.email
throwawaymail.com trash-mail.com trashmail.com trashmail.de trashmail.net wegwerfmail.de yopmail.com yopmail.fr
yopmail.net
"""

_ACCESS = """
alice.it aliceadsl.fr aon.at arcor.de att.net bbox.fr bell.net bellsouth.net bigpond.com bigpond.net.au bluewin.ch
blueyonder.co.uk bredband.net btinternet.com centurylink.net charter.net chello.at club-internet.fr comcast.net cox.net
docomo.ne.jp earthlink.net eircom.net ezweb.ne.jp fastwebnet.it free.fr freenet.de frontier.com frontiernet.net
hetnet.nl hispeed.ch home.nl iinet.net.au kpnmail.nl mindspring.com netvision.net.il neuf.fr ntlworld.com
numericable.fr o2.co.uk online.no optonline.net optusnet.com.au orange.fr pacbell.net planet.nl roadrunner.com
rogers.com rr.com saunalahti.fi sbcglobal.net sfr.fr shaw.ca sky.com skynet.be softbank.ne.jp sunrise.ch sympatico.ca
t-online.de talktalk.net telefonica.net telenet.be telia.com telus.net tin.it tiscali.co.uk tiscali.it tpg.com.au
upcmail.nl verizon.net videotron.ca virginmedia.com wanadoo.fr windstream.net xs4all.nl xtra.co.nz ziggo.nl
"""

ACCESS_PROVIDERS = frozenset(_ACCESS.split())
FREE_MAIL = frozenset(f"{_PROVIDERS} {_DISPOSABLE}".split()) | blocklist
