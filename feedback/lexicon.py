"""The words of digital products in English, Spanish and Portuguese, brought together for similar.py. Pure."""

from __future__ import annotations

from productops.lib.text import fold

#: The commonest words of the three languages tell nothing about a problem.
STOP = frozenset(
    fold(
        """
        a about after again agora ahora al algo alguem alguien algum alguma alguna all always am an and ante any ao
        aos aparece aparecem aparecen aqui are as at ayer be because been both but by cada came can cannot chega
        client cliente clientes clients coisa com come comes como con continua cosa could cuando customer customers da
        das de del desde dice dicen did diz do does doing donde dos e each el ela ele eles ella en entre era es esa
        ese eso essas esses esta estas este esto estos eu ever every favor fazer few fica ficam ficou first for forma
        from fue gente get goes gostaria gracias gustaria ha hace hacer had has have hay he hello her here hi his hoje
        hola how hoy i if in into is isso isto it its jeito just la las le les llega lo los lugar lunes made make many
        martes mas me mesma mesmo meu mi minha misma mismo monday mostra muchas muchos muestra muitas muito muitos muy
        my na nada nao nas necesito need nenhum never new ni ninguno no none nos not nothing nova novo novos now nueva
        nuevo nuevos nunca o obrigado of oi ola on onde only ontem or os ou our out para pela pelo pero please pone
        poner por porque posible possible possivel pra preciso primeira primera put qual quando que queda quedan quedo
        quem quero quien quiero sai sale salen same says se see segunda sem sempre ser she show shows si sido siempre
        sigue sin since so sobre solo some son still su sua sus te tem tengo terca than thanks that the their them
        then there they thing things this tiene tipo to toda today todo todos tudo tuesday um uma umas un una unas uno
        unos uns up us user users usuario usuarios vcs vem veo ver voce want was way we were what when where which who
        why will with would y ya yesterday yo you your
        """
    ).split()
)
#: What is said in several words, as one.
PHRASES = {
    phrase: line.split(": ")[0]
    for line in (
        "giftcard: gift card, tarjeta regalo, tarjeta de regalo, vale presente, gift voucher",
        "login: sign in, signing in, log in, logged in, iniciar sesion, inicio de sesion",
        "invoice: nota fiscal, notas fiscais",
        "creditnote: nota de credito, notas de credito, credit note, credit notes",
        "blank: en blanco, em branco, white screen",
        "double: dos veces, duas vezes, two times, em dobro",
        "sepa: direct debit",
        "barcode: codigo de barras",
        "till: point of sale, punto de venta, ponto de venda",
        "offline: fuera de linea, sin internet, sem internet, sin conexion, sem conexao",
        "stock minimum: low stock, poco stock, estoque baixo, existencias bajas, estoque minimo",
        "down: fora do ar",
        "telephone: phone number",
        "birth: date of birth",
        "twofactor: two factor, dos pasos, duas etapas",
        "spam: lixo eletronico, no deseados",
        "pickup: pick up, click and collect",
        "schedule: opening hours",
        "closing: end of day",
        "clockchange: daylight saving, cambio de hora, horario de verano, horario de verao",
        "alone: by itself, por si solo",
        "boleto: boleto bancario",
        "mercadopago: mercado pago",
        "mercadolivre: mercado livre",
        "day: de otro dia",
        "fail: no carga, no abre, nao abre, nao carrega, no funciona, nao funciona, does not work, doesn t work",
        "close: shut",
    )
    for phrase in line.split(": ")[1].split(", ")
}
#: Beginnings of words for the same thing of a digital product, so that the three languages meet. The longest
#: beginning that fits wins; the first of a line stands for all of it.
SAME = {
    stem: line.split()[0]
    for line in (
        "pay payi paym pays paid paga pago pagu abon",
        "charge cobr charg bill billed billing",
        "checkout finaliz compr purchas buy buye bought",
        "fail fall falh error erro brok roto quebr reject rechaz rejei recus refus",
        "search busc pesquis find procur encontr",
        "filter filtr",
        "save savi guard salv remember recuerd recorda lembr",
        "slow lent demor tarda ages load carga carreg",
        "login logar entrar sesion sessao acced acess access",
        "password passw senha contrasen clave",
        "logout deslog expuls",
        "invoice factur fatur",
        "export descarg baixar download bajar",
        "card tarjet carta maquin",
        "cart carrit carrin cesta basket",
        "order pedid encomend",
        "button boton botao option opcion opcao",
        "page pagin",
        "screen pantall tela",
        "mail corre email newsletter boletin informativ",
        "understand entiend entend comprend confus confund mean signific",
        "list lista",
        "delete borr elimin apag exclu remov quit erase sumi desapar disappear vanish lost perd pierd lose",
        "price preci prec cost tarif rate",
        "app apps aplic",
        "phone movil celular mobile smartphone",
        "telephone telefon",
        "close cierr fech crash trav congel freez encerr cuelg colgad",
        "refund reembols devoluc estorn",
        "coupon cupon cupom discountcode",
        "discount descuent descont rebaj",
        "tax taxe iva vat impuest impost icms igic aliquot",
        "number numer",
        "logo logotip",
        "recurring recurrent recorrent mensual",
        "report report informe relatori",
        "dashboard panel painel tabler",
        "revenue ingres receit venta venda sale sales",
        "date fecha data",
        "month mes mensu",
        "accent acent tild caracter character symbol simbol",
        "row rows fila filas linha linhas line lines linea",
        "code codig",
        "invitation invit convit",
        "expire expir vencid caduc venc",
        "role rol roles perfil permis",
        "salary sueld salari nomin payroll folha salaries",
        "employee emplead funcionari colleague",
        "notification notific avis alert push",
        "update actualiz atualiz refresh",
        "barcode escan scan scanner",
        "flashlight torch lintern lantern",
        "offline",
        "photo foto picture imag image",
        "rotate rotat girad acostad deitad turned side",
        "attachment adjunt anex attach upload subi",
        "limit limite big",
        "import import",
        "contact contact",
        "template plantill model sample ejempl exempl",
        "sync sincroniz connection conex conect connect integrac",
        "double duplic twice dobl repet repeated dobro",
        "tag etiquet",
        "combine combin",
        "sort orden ordem order_by random aleator desorden",
        "booking reserv cita turno agend appointment slot horari schedul",
        "cancel cancel anul",
        "calendar calend agenda",
        "day days dia dias",
        "block bloque indispon unavail",
        "reminder recordator lembret",
        "night noch madrug",
        "stock inventor existenc estoq warehouse_stock quantity cantidad quantid",
        "soldout agotad esgotad",
        "tablet tablet",
        "minimum minim",
        "warehouse almacen deposit bodeg location",
        "transfer traspas transfer mover",
        "variant variac variant tall tamanh size",
        "confirmation confirm",
        "late tard atras delay",
        "hour hora",
        "language idiom lengua english ingles inglés german aleman",
        "campaign campan campanh publicid propagand",
        "spam junk",
        "unsubscribe unsubscrib opt baja descadastr",
        "preview previsualiz vista pre",
        "label etiqueta_envio sticker",
        "shipping envi frete ship shipment delivery entreg",
        "tracking guia rastre seguim",
        "partial parcial parte part",
        "pickup recogid retir retirad",
        "till caja caix pos tpv pdv cajon gavet drawer",
        "receipt ticket recib",
        "print imprim impres",
        "terminal dataf maquininh",
        "disconnect desconect",
        "closing cierre fechament",
        "cent centav rounding redond arredond",
        "item articul produt product",
        "plan plano subscription suscrip assinatur",
        "trial prueb teste",
        "chat globit bolinh bubble",
        "message mensaj mensag",
        "agent agent atend support soport suport",
        "task tare",
        "reopen reabr open_again pendient pendent",
        "note observ",
        "cut truncat cort",
        "merge unir junt",
        "history histor",
        "bulk masiv massa",
        "description descripc descric",
        "format format salto quebra_de",
        "visitor visitant",
        "404 notfound",
        "privacy privac legal term",
        "quote presupuest orcament",
        "accountant contador contabl contab",
        "expense gast despes",
        "customer client",
        "add agreg anad adicion",
        "hide tapa cubr cobre cover",
        "wrong equivoc incorrect mal errad",
        "blank blank branc vaz empt vaci",
    )
    for stem in line.split()
}
